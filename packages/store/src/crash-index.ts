// SPDX-License-Identifier: Apache-2.0
// The index of crashes: folded from the event log into tables that people can ask (R56).
//
// C1. The event log is the truth: what the index lost is folded again, from its own position.
// C2. Only durable entries are taken in, in order, each once; the position moves in the transaction that takes them in.
// C3. Counting is by device: one that crashes a thousand times is one device.
// C4. A place keeps its crashes when symbols give it another name.
import { CoalmineError, type DeviceId, type Digest } from "@coalmine/core";
import { type ArtifactStore, type CrashCatalogue, crashSignature, type CrashSymbols, type EventLog, examineDump, issueId, loadSymbols, type LogEntry, type Outcome, readRecord, reportBytes } from "@coalmine/orchestrator";
import { type Crash, decodeReport, type LogChunk, peekReportKind } from "@coalmine/protocol";
import { CrashFiles } from "./crash-files.ts";
import { CrashQueries } from "./crash-queries.ts";
import { ensureCrashSchema } from "./crash-schema.ts";
import { openSqlite, type Sqlite, type SqlRow, type Statement } from "./sqlite.ts";

export interface CrashIndexOptions {
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  /** Told when the index cannot go on; devices and rollouts do not depend on it. */
  readonly warn?: (message: string) => void;
}

/** Entries read at once while catching up, and dumps decoded at once. */
const pageEntries = 2_000;
const examineAtOnce = 4;
/** How long pieces gather before they are written together. */
const gatherMs = 20;
/** Newest crashes kept of one device. */
const crashesKept = 200;
const tablesKept = 4;

interface Item {
  readonly sequence: number;
  readonly entry: LogEntry;
}

export class CrashIndex {
  readonly catalogue: CrashCatalogue;
  readonly #options: CrashIndexOptions;
  readonly #database: Sqlite;
  readonly #files: CrashFiles;
  readonly #symbols = new Map<string, CrashSymbols | undefined>();
  readonly #statements: Record<"position" | "learnBuild" | "findPlace" | "addPlace" | "tally" | "addCrash" | "trim" | "namePlace" | "placesOf" | "addSymbols" | "symbolsOf" | "staleFiles" | "stale" | "examined" | "crashAt" | "placeAt", Statement>;
  /** Taken in and stored. */
  #position: number;
  /** Durable in the log. */
  #durable: number;
  /** Durable, of interest, not yet taken in; complete from `#position` on, unless `#behind`. */
  #queue: Item[] = [];
  #behind: boolean;
  #working: Promise<void> | undefined;
  #closed = false;
  #ended: Promise<void> | undefined;

  /**
   * Opens the index in a file, or in memory with `:memory:`, and begins to catch up with the log.
   * Throws `store/not-crashes`. A file of an older version, or of another log, is folded again.
   */
  constructor(path: string, options: CrashIndexOptions) {
    this.#options = options;
    this.#database = openSqlite(path, { busyMillis: 2_000 });
    // Nothing here cannot be folded again: after power loss the index may be older than the log, never wrong.
    this.#database.exec("pragma journal_mode = wal");
    this.#database.exec("pragma synchronous = normal");
    ensureCrashSchema(this.#database, path);
    this.#files = new CrashFiles(this.#database);
    this.#statements = prepare(this.#database);
    this.#position = this.#database.prepare("select sequence from position").get()?.["sequence"] as number;
    this.#durable = options.log.length;
    if (this.#position > this.#durable) {
      this.#forget();
    }
    this.#behind = this.#position < this.#durable;
    this.catalogue = new CrashQueries(this.#database, { position: () => this.#position, bytes: (file) => this.#files.bytes(file) });
    this.#work();
  }

  /** The host's `watch`: entries that became durable. */
  readonly note = (outcome: Outcome, first: number): void => {
    if (this.#closed) {
      return;
    }
    if (first !== this.#durable + 1) {
      this.#behind = true; // something was durable before it was told; read it
    }
    this.#durable = Math.max(this.#durable, first + outcome.entries.length - 1);
    if (!this.#behind) {
      for (const [index, entry] of outcome.entries.entries()) {
        if (isOfInterest(entry)) {
          this.#queue.push({ sequence: first + index, entry });
        }
      }
    }
    this.#work();
  };

  /** Resolves when everything durable now is taken in and every whole dump decoded. */
  async settled(): Promise<void> {
    while (this.#working !== undefined) {
      await this.#working;
    }
  }

  /** Stops where it is: what is not taken in by now is at the next start. May be called twice. */
  close(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#closed = true;
    await this.settled();
    this.#database.close();
  }

  #work(): void {
    this.#working ??= this.#run()
      .catch((error: unknown) => {
        this.#closed = true;
        this.#options.warn?.(`the index of crashes stops: ${(error as Error).message}; it is read again from the log at the next start`);
      })
      .finally(() => {
        this.#working = undefined;
      });
  }

  async #run(): Promise<void> {
    do {
      // What comes within a moment shares a transaction; who catches up, or is asked to end, does not wait for more.
      await new Promise<void>((resolve) => {
        if (this.#behind || this.#closed) {
          setImmediate(resolve);
        } else {
          setTimeout(resolve, gatherMs);
        }
      });
    } while (!this.#closed && this.#step());
  }

  /** Takes in what there is, within bounds. True when there is more to do. */
  #step(): boolean {
    const until = this.#durable;
    if (this.#position < until) {
      const items = this.#behind ? this.#read(until) : this.#queue;
      this.#queue = [];
      const reached = this.#behind ? Math.min(until, this.#position + pageEntries) : until;
      this.#transaction(() => {
        for (const item of items) {
          this.#take(item);
        }
        this.#statements.position.run(reached);
      });
      this.#position = reached;
      this.#behind &&= reached < this.#durable;
    }
    const left = this.#examineSome();
    return left || this.#position < this.#durable;
  }

  #read(until: number): Item[] {
    const items: Item[] = [];
    const last = Math.min(until, this.#position + pageEntries);
    for (const entry of this.#options.log.read(this.#position)) {
      if (entry.sequence > last) {
        break;
      }
      if (isOfInterest(entry)) {
        items.push({ sequence: entry.sequence, entry });
      }
    }
    return items;
  }

  #take({ sequence, entry }: Item): void {
    if (entry.type === "symbols-added") {
      const record = readRecord(entry);
      if (record.type === "symbols-added") {
        this.#addSymbols(record.buildId, record.digest);
      }
      return;
    }
    const { device } = entry;
    const decoded = decodeReport(reportBytes(entry).bytes);
    if (device === null || decoded.kind === "undecodable") {
      return;
    }
    const { boot, body } = decoded.value;
    if (body.kind === "crash") {
      this.#crash({ sequence, at: entry.at, device, boot }, body);
    } else if (body.kind === "log") {
      this.#piece(device, body, entry.at);
    }
  }

  #crash(where: { readonly sequence: number; readonly at: number; readonly device: DeviceId; readonly boot: number }, crash: Crash): void {
    const { sequence, at, device, boot } = where;
    const buildId = crash.buildId.toHex();
    const { learnBuild, tally, addCrash, trim } = this.#statements;
    learnBuild.run(buildId, crash.imageHash.toHex());
    const place = this.#place({ buildId, reason: crash.reason, pc: crash.pc, lr: crash.lr });
    tally.run(place, device, at, at);
    addCrash.run(sequence, at, device, boot, crash.uptime_s, place);
    trim.run(device, device, crashesKept);
  }

  #place(site: { readonly buildId: string; readonly reason: string; readonly pc: number; readonly lr: number }): number {
    const { findPlace, addPlace } = this.#statements;
    const known = findPlace.get(site.buildId, site.reason, site.pc, site.lr);
    if (known !== undefined) {
      return known["id"] as number;
    }
    const { text, symbolised } = crashSignature(site, this.#symbolsOf(site.buildId));
    return (addPlace.get(site.buildId, site.reason, site.pc, site.lr, text, symbolised ? 1 : 0, issueId(text)) as SqlRow)["id"] as number;
  }

  #piece(device: DeviceId, chunk: LogChunk, at: number): void {
    const taken = this.#files.take(device, chunk, at);
    if (taken?.complete === true && chunk.stream === "coredump") {
      this.#statements.stale.run(1, taken.file);
    }
  }

  #addSymbols(build: string, digest: string): void {
    const { addSymbols, placesOf, namePlace } = this.#statements;
    addSymbols.run(build, digest);
    this.#symbols.delete(build);
    const symbols = this.#symbolsOf(build);
    for (const { id, reason, pc, lr } of placesOf.all(build)) {
      const { text, symbolised } = crashSignature({ buildId: build, reason: reason as string, pc: pc as number, lr: lr as number }, symbols);
      namePlace.run(text, symbolised ? 1 : 0, issueId(text), id as number);
    }
    this.#database.prepare("update file set stale = 1 where build = ? and stream = 'coredump' and state = 'complete'").run(build);
  }

  #symbolsOf(build: string): CrashSymbols | undefined {
    if (!this.#symbols.has(build)) {
      const digest = this.#statements.symbolsOf.get(build)?.["digest"];
      const bytes = typeof digest === "string" ? this.#options.artifacts.get(digest as Digest) : null;
      this.#symbols.set(build, bytes === null ? undefined : loadSymbols(bytes));
      if (this.#symbols.size > tablesKept) {
        this.#symbols.delete(this.#symbols.keys().next().value as string);
      }
    }
    return this.#symbols.get(build);
  }

  /** Decodes some of the dumps that are whole or whose symbols came. True when more are left. */
  #examineSome(): boolean {
    const files = this.#statements.staleFiles.all(examineAtOnce);
    if (files.length > 0) {
      this.#transaction(() => {
        for (const { id, device, build } of files) {
          this.#examine(id as number, device as string, build as string);
        }
      });
    }
    return files.length === examineAtOnce;
  }

  #examine(file: number, device: string, build: string): void {
    const examined = examineDump(this.#files.bytes(file), this.#symbolsOf(build));
    let place: number | null = null;
    if (examined.kind === "coredump") {
      const { reason, pc, lr } = examined;
      // The report of the same crash says where it counts; without one the dump's own registers do.
      const told = this.#statements.crashAt.get(device, build, pc, pc) ?? this.#statements.placeAt.get(build, pc, pc, lr);
      place = (told?.["place"] as number | undefined) ?? this.#place({ buildId: build, reason, pc, lr });
    }
    this.#statements.examined.run(place, JSON.stringify(examined), examined.kind === "broken" ? `damaged in ${examined.block} at ${examined.offset}: ${examined.detail}` : null, file);
  }

  #transaction(work: () => void): void {
    this.#database.exec("begin immediate");
    try {
      work();
      this.#database.exec("commit");
    } catch (cause) {
      try {
        this.#database.exec("rollback");
      } catch {
        // SQLite rolls back by itself after some failures.
      }
      throw cause instanceof CoalmineError ? cause : new CoalmineError("store/crashes", (cause as Error).message, { cause });
    }
  }

  #forget(): void {
    this.#transaction(() => {
      for (const table of ["build", "symbols", "place", "tally", "crash", "file", "chunk"]) {
        this.#database.exec(`delete from ${table}`);
      }
      this.#statements.position.run(0);
    });
    this.#position = 0;
  }
}

function isOfInterest(entry: LogEntry): boolean {
  if (entry.type !== "report") {
    return entry.type === "symbols-added";
  }
  const kind = peekReportKind(reportBytes(entry).bytes);
  return kind === "crash" || kind === "log";
}

function prepare(database: Sqlite) {
  return {
    position: database.prepare("update position set sequence = ?"),
    learnBuild: database.prepare("insert into build (build, image) values (?, ?) on conflict do nothing"),
    findPlace: database.prepare("select id from place where build = ? and reason = ? and pc = ? and lr = ?"),
    addPlace: database.prepare("insert into place (build, reason, pc, lr, signature, symbolised, issue) values (?, ?, ?, ?, ?, ?, ?) returning id"),
    tally: database.prepare("insert into tally (place, device, count, first_at, last_at) values (?, ?, 1, ?, ?) on conflict do update set count = count + 1, last_at = max(last_at, excluded.last_at)"),
    addCrash: database.prepare("insert into crash (sequence, at, device, boot, uptime_s, place) values (?, ?, ?, ?, ?, ?)"),
    trim: database.prepare("delete from crash where device = ? and sequence <= (select sequence from crash where device = ? order by sequence desc limit 1 offset ?)"),
    namePlace: database.prepare("update place set signature = ?, symbolised = ?, issue = ? where id = ?"),
    placesOf: database.prepare("select id, reason, pc, lr from place where build = ?"),
    addSymbols: database.prepare("insert into symbols (build, digest) values (?, ?) on conflict do update set digest = excluded.digest"),
    symbolsOf: database.prepare("select digest from symbols where build = ?"),
    staleFiles: database.prepare("select id, device, build from file where stale = 1 order by id limit ?"),
    stale: database.prepare("update file set stale = ? where id = ?"),
    examined: database.prepare("update file set place = ?, examined = ?, trouble = ?, stale = 0 where id = ?"),
    // Bit 0 of an address says Thumb.
    crashAt: database.prepare("select place from crash join place on place.id = crash.place where device = ? and build = ? and (pc = ? or pc = ? + 1) order by sequence desc limit 1"),
    placeAt: database.prepare("select id as place from place where build = ? and (pc = ? or pc = ? + 1) and lr = ? order by id limit 1"),
  };
}
