// SPDX-License-Identifier: Apache-2.0
// RFC 9110, 14: one byte range. Anything else that is asked for is answered with the whole.

export type Range = { readonly kind: "whole" } | { readonly kind: "part"; readonly from: number; readonly end: number } | { readonly kind: "unsatisfiable" };

/** @param end of a part: the byte after its last */
export function rangeOf(header: string | undefined, size: number): Range {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) {
    return { kind: "whole" };
  }
  const [first, last] = [match[1] as string, match[2] as string];
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? { kind: "unsatisfiable" } : { kind: "part", from: size - length, end: size };
  }
  const from = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  if (last !== "" && Number(last) < from) {
    return { kind: "whole" }; // not a range at all (14.1.1)
  }
  return from >= size ? { kind: "unsatisfiable" } : { kind: "part", from, end };
}
