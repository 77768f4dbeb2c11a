// SPDX-License-Identifier: Apache-2.0

/** Asks for a piece of an artifact (R12). Several may be in flight; `request` pairs them with their answers. */
export interface BlockRequest {
  readonly request: number;
  /** First 8 bytes of the artifact's digest: enough to notice a changed artifact, short on the wire. */
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** A piece of an artifact, or why there is none. Shorter than asked for only at the end. */
export type BlockAnswer =
  | { readonly kind: "block"; readonly request: number; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: "refused"; readonly request: number; readonly reason: "not-offered" | "unknown" | "range" };
