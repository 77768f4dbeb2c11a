// SPDX-License-Identifier: Apache-2.0

/** What an artifact must fit: board, hardware revision and partition map (I6 right-hardware). */
export interface Variant {
  readonly board: string;
  readonly revision: string;
  /** Fingerprint of the partition map: two boards with the same one have slots of the same place and size. */
  readonly partitionMap: string;
}

/** One text for a variant, for maps and messages. */
export function variantKey(variant: Variant): string {
  return `${variant.board}/${variant.revision}/${variant.partitionMap}`;
}

/** Reads BOARD/REVISION/PARTITIONMAP; undefined when it is none. Board names may hold slashes themselves. */
export function parseVariant(text: string): Variant | undefined {
  const parts = text.split("/");
  const [revision, partitionMap] = parts.slice(-2);
  const board = parts.slice(0, -2).join("/");
  return board === "" || revision === undefined || partitionMap === undefined || partitionMap === "" ? undefined : { board, revision, partitionMap };
}

/** True when an artifact for `wanted` may be installed on `actual`: all three parts must be equal; unknown never matches. */
export function fits(wanted: Variant, actual: Variant): boolean {
  return (
    wanted.partitionMap === actual.partitionMap &&
    wanted.revision === actual.revision &&
    wanted.board === actual.board &&
    actual.board !== "" &&
    actual.partitionMap !== ""
  );
}
