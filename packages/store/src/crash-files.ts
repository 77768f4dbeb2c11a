// SPDX-License-Identifier: Apache-2.0
// Logs and dumps as they arrive in pieces, in the index of crashes.
import { type Assembly, assemblyLimits, type Range, receivedBytes, takePiece } from "@coalmine/orchestrator";
import type { LogChunk } from "@coalmine/protocol";
import type { Sqlite, SqlRow, Statement } from "./sqlite.ts";

/** Files that one device may have open at once; the oldest is given up for another. */
const openMax = 8;
/** Whole and open files of one device that are kept; beyond, the oldest goes. */
const keptMax = 32;

export interface TakenPiece {
  readonly file: number;
  readonly complete: boolean;
}

export class CrashFiles {
  readonly #find: Statement;
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #refuse: Statement;
  readonly #addChunk: Statement;
  readonly #chunks: Statement;
  readonly #ofDevice: Statement;
  readonly #removeFile: Statement;
  readonly #removeChunks: Statement;

  constructor(database: Sqlite) {
    this.#find = database.prepare("select id, total, ranges, state from file where device = ? and stream = ? and build = ? and number = ?");
    this.#insert = database.prepare(
      "insert into file (device, stream, build, number, total, ranges, received, state, first_at, last_at) values (?, ?, ?, ?, 0, '[]', 0, 'open', ?, ?) returning id",
    );
    this.#update = database.prepare("update file set total = ?, ranges = ?, received = ?, state = ?, last_at = ? where id = ?");
    this.#refuse = database.prepare("update file set state = 'refused', trouble = ?, last_at = ? where id = ?");
    this.#addChunk = database.prepare("insert into chunk (file, offset, data) values (?, ?, ?) on conflict do update set data = excluded.data where length(excluded.data) > length(chunk.data)");
    this.#chunks = database.prepare("select offset, data from chunk where file = ? order by offset");
    this.#ofDevice = database.prepare("select id, state from file where device = ? order by last_at, id");
    this.#removeFile = database.prepare("delete from file where id = ?");
    this.#removeChunks = database.prepare("delete from chunk where file = ?");
  }

  /** Takes in a piece; undefined when it changes nothing. */
  take(device: string, chunk: LogChunk, at: number): TakenPiece | undefined {
    const build = chunk.buildId.toHex();
    const known = this.#find.get(device, chunk.stream, build, chunk.id);
    if (known !== undefined && known["state"] !== "open") {
      return undefined;
    }
    const assembly: Assembly = known === undefined ? { total: 0, received: [] } : { total: known["total"] as number, received: JSON.parse(known["ranges"] as string) as Range[] };
    const taken = takePiece(assembly, { offset: chunk.offset, length: chunk.data.length, total: chunk.total }, assemblyLimits);
    if (taken.kind === "known") {
      return undefined;
    }
    const file = known === undefined ? this.#open(device, chunk, build, at) : (known["id"] as number);
    if (taken.kind === "refused") {
      this.#refuse.run(taken.reason, at, file);
      this.#removeChunks.run(file);
      return undefined;
    }
    this.#addChunk.run(file, chunk.offset, chunk.data);
    const { total, received } = taken.assembly;
    this.#update.run(total, JSON.stringify(received), receivedBytes(taken.assembly), taken.complete ? "complete" : "open", at, file);
    return { file, complete: taken.complete };
  }

  /** What has arrived, in order; where pieces overlap the earlier byte stands. */
  bytes(file: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let reached = 0;
    for (const { offset, data } of this.#chunks.all(file)) {
      const begin = Math.max(0, reached - (offset as number));
      const part = (data as Uint8Array).subarray(begin);
      if (part.length > 0) {
        parts.push(part);
        reached = (offset as number) + begin + part.length;
      }
    }
    return Buffer.concat(parts);
  }

  #open(device: string, chunk: LogChunk, build: string, at: number): number {
    const files = this.#ofDevice.all(device);
    const open = files.filter((file) => file["state"] === "open");
    const surplus = [...(open.length >= openMax ? open.slice(0, 1) : []), ...(files.length >= keptMax ? files.slice(0, 1) : [])];
    for (const file of surplus) {
      this.#removeChunks.run(file["id"] as number);
      this.#removeFile.run(file["id"] as number);
    }
    return (this.#insert.get(device, chunk.stream, build, chunk.id, at, at) as SqlRow)["id"] as number;
  }
}
