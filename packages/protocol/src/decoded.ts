// SPDX-License-Identifier: Apache-2.0

/** What bytes meant, or why they mean nothing. Decoders return it for any bytes whatever and never throw. */
export type Decoded<T> = { readonly kind: "ok"; readonly value: T } | Undecodable;

/**
 * Bytes that are no message of ours.
 *
 * `reason` is one of a finite set of texts made of schema words only, so it is safe to log and may label a counter;
 * nothing the sender wrote gets into it. `offset` is where in the bytes the trouble starts.
 */
export interface Undecodable {
  readonly kind: "undecodable";
  readonly reason: string;
  readonly offset?: number;
}
