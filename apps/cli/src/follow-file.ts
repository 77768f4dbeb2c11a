// SPDX-License-Identifier: Apache-2.0
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 100;
const CHUNK = 64 * 1024;

/** A file from its beginning, and then what is appended to it, without an end. */
export async function* followFile(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK), 0, CHUNK);
      if (bytesRead > 0) {
        yield buffer.subarray(0, bytesRead);
      } else {
        await sleep(POLL_MS);
      }
    }
  } finally {
    await file.close();
  }
}
