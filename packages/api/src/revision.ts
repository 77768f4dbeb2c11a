// SPDX-License-Identifier: Apache-2.0
import { HttpTrouble } from "./errors.ts";

/** The ETag of an object at a revision. Strong: If-Match needs one. */
export function etag(revision: number | string): string {
  return `"${revision}"`;
}

/**
 * Checks If-Match against the object as it is now, so that an order given on an outdated view changes nothing.
 * Throws 428 when the header is missing though `required`, 412 when it names another revision.
 */
export function checkIfMatch(header: string | undefined, current: string, options: { readonly required: boolean; readonly what: string }): void {
  if (header === undefined) {
    if (options.required) {
      throw new HttpTrouble(428, "api/if-match", `${options.what}: send If-Match with the ETag of what you looked at (GET it first)`);
    }
    return;
  }
  const named = header.split(",").map((tag) => tag.trim());
  if (!named.includes(current)) {
    throw new HttpTrouble(412, "api/outdated", `${options.what} has changed since you looked at it: it is ${current} now; look again, then decide`);
  }
}
