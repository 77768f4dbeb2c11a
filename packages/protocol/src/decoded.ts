// SPDX-License-Identifier: Apache-2.0

/** What bytes meant, or why they mean nothing. Decoders return it for any bytes whatever and never throw. */
export type Decoded<T> = { readonly kind: "ok"; readonly value: T } | Undecodable;

/**
 * Bytes that are no message of ours.
 *
 * `reason` is `field: problem`, from a finite set made of schema words only: nothing the sender wrote gets into it, so it
 * is safe to log and to count by. `offset` is where in the bytes the trouble starts.
 */
export interface Undecodable {
  readonly kind: "undecodable";
  readonly reason: string;
  readonly offset?: number;
}
