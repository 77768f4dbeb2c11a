// SPDX-License-Identifier: Apache-2.0
import { ByteReader, ByteWriter } from "./bytes.ts";

/** Schemas `oldest` to `newest` are complete in storage; values from `kept` on may still lie there. */
export interface SchemaRecord {
  readonly oldest: number;
  readonly newest: number;
  readonly kept: number;
}

export function encodeSchema({ oldest, newest, kept }: SchemaRecord): Uint8Array {
  return new ByteWriter().u16(oldest).u16(newest).u16(kept).done();
}

export function decodeSchema(bytes: Uint8Array): SchemaRecord {
  const reader = new ByteReader(bytes);
  return { oldest: reader.u16(), newest: reader.u16(), kept: reader.u16() };
}
