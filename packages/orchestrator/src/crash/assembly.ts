// SPDX-License-Identifier: Apache-2.0
// A log or a coredump that arrives in pieces (R56): which bytes are there, and when it is whole.
//
// A1. Pieces may come in any order, twice, overlapping, from several boots: a transfer resumes where it was lost.
// A2. What does not fit is refused and said: a total that changes, a piece behind the end, more than is taken in.

/** Bytes from `start` up to and not including `end`. */
export type Range = readonly [start: number, end: number];

export interface Assembly {
  /** Bytes in all; 0 while the device does not know. */
  readonly total: number;
  /** Sorted, apart from each other. */
  readonly received: readonly Range[];
}

export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly total: number;
}

export type Taken =
  | { readonly kind: "new"; readonly assembly: Assembly; readonly complete: boolean }
  | { readonly kind: "known" }
  | { readonly kind: "refused"; readonly reason: string };

export interface AssemblyLimits {
  /** Bytes of one log or dump. */
  readonly bytes: number;
  /** Gaps that are kept track of, and one more. */
  readonly ranges: number;
}

/** Zephyr's coredump partitions are 64 KiB to 1 MiB; a log is a tail. */
export const assemblyLimits: AssemblyLimits = { bytes: 1024 * 1024, ranges: 256 };

export const emptyAssembly: Assembly = { total: 0, received: [] };

/** Takes in a piece. Pure: the bytes themselves are the caller's. */
export function takePiece(assembly: Assembly, piece: Piece, limits: AssemblyLimits = assemblyLimits): Taken {
  const { offset, length } = piece;
  const end = offset + length;
  if (piece.total !== 0 && assembly.total !== 0 && piece.total !== assembly.total) {
    return { kind: "refused", reason: `its total changed from ${assembly.total} to ${piece.total} bytes` };
  }
  const total = assembly.total === 0 ? piece.total : assembly.total;
  if (end > limits.bytes || total > limits.bytes) {
    return { kind: "refused", reason: `more than ${limits.bytes} bytes` };
  }
  const reached = Math.max(end, assembly.received.at(-1)?.[1] ?? 0);
  if (total !== 0 && reached > total) {
    return { kind: "refused", reason: `a piece up to byte ${reached} of ${total}` };
  }
  const isKnown = length === 0 || assembly.received.some(([from, to]) => from <= offset && end <= to);
  if (isKnown && total === assembly.total) {
    return { kind: "known" };
  }
  const received = isKnown ? assembly.received : merge(assembly.received, [offset, end]);
  if (received.length > limits.ranges) {
    return { kind: "refused", reason: `more than ${limits.ranges} gaps` };
  }
  return { kind: "new", assembly: { total, received }, complete: isWhole({ total, received }) };
}

/** Bytes that are there. */
export function receivedBytes({ received }: Assembly): number {
  return received.reduce((sum, [from, to]) => sum + to - from, 0);
}

function isWhole({ total, received }: Assembly): boolean {
  const [only] = received;
  return total > 0 && received.length === 1 && only?.[0] === 0 && only[1] === total;
}

function merge(ranges: readonly Range[], added: Range): Range[] {
  const apart: Range[] = [];
  let [from, to] = added;
  for (const range of ranges) {
    if (range[1] < from || range[0] > to) {
      apart.push(range);
    } else {
      from = Math.min(from, range[0]);
      to = Math.max(to, range[1]);
    }
  }
  return [...apart, [from, to] as const].sort((a, b) => a[0] - b[0]);
}
