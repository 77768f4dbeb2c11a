// SPDX-License-Identifier: Apache-2.0

/** Names in a sentence: the first `most` of them, and how many more there are. */
export function listed(names: readonly string[], most: number): string {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
