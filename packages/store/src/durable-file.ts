// SPDX-License-Identifier: Apache-2.0
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Replaces a file so that a crash leaves the old bytes or the new ones: write beside it, fsync, rename, fsync the folder.
 * @param temporary a path on the same file system; a leftover there is harmless
 */
export async function writeDurably(path: string, bytes: Uint8Array, temporary: string): Promise<void> {
  const file = await open(temporary, "w", 0o644);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** The same, without giving up the thread. For a few bytes at start and stop. */
export function writeDurablySync(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", 0o644);
  try {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(file, bytes, done);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncFolderSync(dirname(path));
}

/** Makes renames and removals in a folder survive power loss. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") {
    return;
  }
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function syncFolderSync(folder: string): void {
  if (process.platform === "win32") {
    return;
  }
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
