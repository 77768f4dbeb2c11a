// SPDX-License-Identifier: Apache-2.0
// S1. What `durable` acknowledged is in the file after any crash of the process or the machine (I1).
// S2. Entries are never changed, only appended; each is bound to all before it by the hash chain (I10).
// S3. One writer: the lock keeps a second process out, the epoch stops one that got past the lock (I9).
// S4. A write that fails fails for good: nothing later is acknowledged, the process stays up.
import { createHash, type Hash } from "node:crypto";
import { CoalmineError, type DeviceId, type Instant, type Millis, Milliseconds } from "@coalmine/core";
import type { EventLog, LogEntry, StoredEntry } from "@coalmine/orchestrator";
import { assertLoggable, CanonicalWriter } from "./canonical.ts";
import { chainLink } from "./chain.ts";
import { type LogFile, type OpenDatabase, openForReading, openForWriting, readHead, witnessPath } from "./log-file.ts";
import { loadSnapshot, saveSnapshot } from "./snapshot.ts";
import { openSqlite, readFailure, type Sqlite, type SqlRow, type SqlValue, type Statement } from "./sqlite.ts";
import { type Verification, verifyChain } from "./verify.ts";
import { writeWitness } from "./witness.ts";

export interface EventLogOptions {
  /** Only read: no lock, no epoch, appends are refused. Works beside the writing process. */
  readonly readOnly?: boolean;
  /** The longest an entry waits for others to share its commit. */
  readonly groupDelayMax?: Millis;
  /** How a database file is opened. Tests of failing disks give their own. */
  readonly openDatabase?: OpenDatabase;
}

/**
 * Opens an event log in a SQLite file, creating it when absent.
 *
 * Throws `store/locked` when another process has it, `store/newer-schema`, `store/not-a-log`, `store/corrupt-log` when
 * its tail was cut, and `store/rolled-back` when it is older than the witness beside it.
 */
export function openEventLog(path: string, options: EventLogOptions = {}): EventLog {
  const open = options.openDatabase ?? openSqlite;
  const file = options.readOnly === true ? openForReading(path, open) : openForWriting(path, open);
  return new SqliteEventLog(file, options.groupDelayMax ?? Milliseconds(5));
}

const ROWS_AT_ONCE = 16;
const ROWS_PER_PAGE = 1_000;

interface Group {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: CoalmineError) => void;
}

class SqliteEventLog implements EventLog {
  readonly #file: LogFile;
  readonly #database: Sqlite;
  readonly #groupDelayMax: number;
  readonly #insertOne: Statement;
  readonly #insertMany: Statement;
  readonly #updateHead: Statement;
  readonly #readPage: Statement;
  readonly #readDevice: Statement;

  #length: number;
  /** Appended, not yet written into the transaction. */
  #pending: LogEntry[] = [];
  #written: number;
  #committed: number;
  #link: Uint8Array;
  #inTransaction = false;
  #failure: CoalmineError | undefined;
  #closed: Promise<void> | undefined;

  #group: Group | undefined;
  #waiters = 0;
  #cancelCommit: (() => void) | undefined;
  #commitIsSoon = false;
  #lastCommitEnd = 0;
  #lastCommitTook = 0;
  #lastWaiters = 0;

  #digest: Hash = createHash("sha256");
  #digested = 0;

  constructor(file: LogFile, groupDelayMax: number) {
    this.#file = file;
    this.#database = file.database;
    this.#groupDelayMax = groupDelayMax;
    this.#length = this.#written = this.#committed = file.head.sequence;
    this.#link = file.head.link;
    const columns = "insert into entry (sequence, at, type, device, body, epoch, link) values ";
    const row = "(?, ?, ?, ?, ?, ?, ?)";
    this.#insertOne = this.#database.prepare(columns + row);
    this.#insertMany = this.#database.prepare(columns + Array.from({ length: ROWS_AT_ONCE }, () => row).join(", "));
    this.#updateHead = this.#database.prepare("update head set sequence = ?, link = ? where id = 1 and epoch = ?");
    this.#readPage = this.#database.prepare(
      "select sequence, at, type, device, body from entry where sequence > ? and sequence <= ? order by sequence limit ?",
    );
    // No index by device: it would cost every report, and SQLite walks a hundred thousand entries in a few milliseconds.
    this.#readDevice = this.#database.prepare(
      "select sequence, at, type, device, body from entry where sequence > ? and sequence <= ? and device = ? order by sequence",
    );
  }

  get length(): number {
    return this.#length;
  }

  /** Takes over the entry and its bytes: do not change them afterwards. Throws the failure once there was one. */
  append(entry: LogEntry): number {
    this.#assertWritable();
    assertLoggable(entry);
    this.#pending.push(entry);
    this.#length += 1;
    this.#scheduleCommit(false);
    return this.#length;
  }

  durable(): Promise<void> {
    if (this.#failure !== undefined) {
      return Promise.reject(this.#failure);
    }
    if (this.#committed === this.#length) {
      return Promise.resolve();
    }
    this.#group ??= Promise.withResolvers<void>();
    this.#waiters += 1;
    this.#scheduleCommit(true);
    return this.#group.promise;
  }

  read(after: number): Iterable<StoredEntry> {
    const end = this.#length;
    if (this.#pending.length > 0) {
      this.#writePending();
    }
    return this.#pages(Math.max(0, after), end);
  }

  readDevice(device: DeviceId, { after, upTo }: { readonly after: number; readonly upTo: number }): readonly StoredEntry[] {
    if (this.#pending.length > 0) {
      this.#writePending();
    }
    try {
      return this.#readDevice.all(Math.max(0, after), upTo, device).map(storedEntry);
    } catch (cause) {
      throw readFailure(this.#file.path, cause);
    }
  }

  saveSnapshot(sequence: number, state: Uint8Array): void {
    this.#assertWritable();
    if (!Number.isSafeInteger(sequence) || sequence < 0 || sequence > this.#length) {
      throw new Error(`snapshot as of entry ${sequence} of a log with ${this.#length}`);
    }
    this.#attempt("save a snapshot", () => {
      this.#begin();
      this.#insertPending();
      saveSnapshot(this.#database, sequence, state);
    });
    this.#scheduleCommit(false);
  }

  loadSnapshot(): { readonly sequence: number; readonly state: Uint8Array } | null {
    return loadSnapshot(this.#database, this.#written);
  }

  digest(): { readonly events: number; readonly sha256: string } {
    const canonical = new CanonicalWriter(65_536);
    for (const entry of this.read(this.#digested)) {
      canonical.entry(entry.sequence, entry);
      if (canonical.size > 60_000) {
        this.#digest.update(canonical.written);
        canonical.clear();
      }
      this.#digested = entry.sequence;
    }
    this.#digest.update(canonical.written);
    return { events: this.#digested, sha256: this.#digest.copy().digest("hex") };
  }

  verify(): Verification {
    if (this.#pending.length > 0 && this.#failure === undefined) {
      this.#writePending();
    }
    const length = this.#file.lock === null ? undefined : this.#written;
    const link = this.#file.lock === null ? undefined : this.#link;
    return verifyChain(this.#database, { length, link });
  }

  /** Commits what is pending, records the head beside the log and releases the lock. */
  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  async #shut(): Promise<void> {
    try {
      if (this.#file.lock !== null && this.#failure === undefined) {
        this.#commit();
        if (this.#failure !== undefined) {
          throw this.#failure as CoalmineError;
        }
        const { epoch } = this.#file.head;
        writeWitness(witnessPath(this.#file.path), { epoch, sequence: this.#committed, link: this.#link.toHex() });
      }
    } finally {
      this.#cancelCommit?.();
      this.#failure ??= new CoalmineError("store/closed", `${this.#file.path} is closed`);
      this.#database.close();
      this.#file.lock?.release();
    }
  }

  #assertWritable(): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    if (this.#file.lock === null) {
      throw new Error(`${this.#file.path} was opened for reading only`);
    }
  }

  /**
   * Decides when the current group is committed.
   *
   * A waiter gets its commit at the end of this turn of the event loop, so everything that arrived with it shares the
   * fsync. While several wait at a time, commits keep a distance as long as the last one took, so at most half of the
   * time goes into them and groups grow with the load; `groupDelayMax` bounds the distance.
   */
  #scheduleCommit(waited: boolean): void {
    if (this.#cancelCommit !== undefined && (this.#commitIsSoon || !waited)) {
      return;
    }
    this.#cancelCommit?.();
    this.#commitIsSoon = waited;
    const distance = this.#lastWaiters > 1 ? Math.min(this.#lastCommitTook, this.#groupDelayMax) : 0;
    const delay = waited ? this.#lastCommitEnd + distance - performance.now() : this.#groupDelayMax;
    if (waited && delay < 1) {
      const handle = setImmediate(() => this.#commit());
      this.#cancelCommit = () => clearImmediate(handle);
    } else {
      const handle = setTimeout(() => this.#commit(), delay);
      this.#cancelCommit = () => clearTimeout(handle);
    }
  }

  #commit(): void {
    this.#cancelCommit?.();
    this.#cancelCommit = undefined;
    this.#commitIsSoon = false;
    if (this.#failure !== undefined || (this.#pending.length === 0 && !this.#inTransaction)) {
      return;
    }
    const began = performance.now();
    const group = this.#group;
    const waiters = this.#waiters;
    try {
      this.#attempt("append", () => {
        this.#begin();
        this.#insertPending();
        this.#updateHead.run(this.#written, this.#link, this.#file.head.epoch);
        this.#database.exec("commit");
        this.#inTransaction = false;
        this.#committed = this.#written;
      });
    } catch {
      return; // `#attempt` told everyone who waits; nobody else is here to be told.
    }
    this.#group = undefined;
    this.#waiters = 0;
    this.#lastWaiters = waiters;
    this.#lastCommitEnd = performance.now();
    this.#lastCommitTook = this.#lastCommitEnd - began;
    group?.resolve();
  }

  #writePending(): void {
    this.#attempt("append", () => {
      this.#begin();
      this.#insertPending();
    });
  }

  /** Starts a transaction as the writer of our epoch, or finds that another has taken over (I9). */
  #begin(): void {
    if (this.#inTransaction) {
      return;
    }
    this.#database.exec("begin immediate");
    this.#inTransaction = true;
    const { epoch } = readHead(this.#database);
    if (epoch !== this.#file.head.epoch) {
      throw new CoalmineError(
        "store/fenced",
        `${this.#file.path} has a newer writer (epoch ${epoch}, ours is ${this.#file.head.epoch}): this process must stop`,
      );
    }
  }

  #insertPending(): void {
    const entries = this.#pending;
    const { epoch } = this.#file.head;
    for (let from = 0; from < entries.length; ) {
      const many = entries.length - from >= ROWS_AT_ONCE;
      const until = from + (many ? ROWS_AT_ONCE : 1);
      const values: SqlValue[] = [];
      for (; from < until; from += 1) {
        const entry = entries[from] as LogEntry;
        this.#written += 1;
        this.#link = chainLink(this.#link, epoch, this.#written, entry);
        values.push(this.#written, entry.at, entry.type, entry.device, entry.body, epoch, this.#link);
      }
      (many ? this.#insertMany : this.#insertOne).run(...values);
    }
    this.#pending = [];
  }

  /** Runs a write. A failure is final (S4): everyone who waits gets it, and so does everyone who comes later. */
  #attempt(doing: string, write: () => void): void {
    try {
      write();
    } catch (cause) {
      const failure =
        cause instanceof CoalmineError
          ? cause
          : new CoalmineError(
              "store/write-failed",
              `cannot ${doing} to ${this.#file.path}: ${(cause as Error).message}. Nothing later is acknowledged; free the disk or replace it, then restart`,
              { cause, retry: "later" },
            );
      this.#fail(failure);
      throw failure;
    }
  }

  #fail(failure: CoalmineError): void {
    this.#failure = failure;
    this.#pending = [];
    this.#cancelCommit?.();
    this.#cancelCommit = undefined;
    if (this.#inTransaction) {
      try {
        this.#database.exec("rollback");
      } catch {
        // SQLite rolls back by itself after some failures; the transaction is gone either way.
      }
      this.#inTransaction = false;
    }
    this.#group?.reject(failure);
    this.#group = undefined;
  }

  *#pages(after: number, end: number): Generator<StoredEntry, void, undefined> {
    for (let from = after; from < end; ) {
      let rows: SqlRow[];
      try {
        rows = this.#readPage.all(from, end, ROWS_PER_PAGE);
      } catch (cause) {
        throw readFailure(this.#file.path, cause);
      }
      if (rows.length === 0) {
        return;
      }
      for (const row of rows) {
        const entry = storedEntry(row);
        from = entry.sequence;
        yield entry;
      }
    }
  }
}

function storedEntry({ sequence, at, type, device, body }: SqlRow): StoredEntry {
  return { sequence: sequence as number, at: at as Instant, type: type as string, device: device as DeviceId | null, body: body as Uint8Array };
}
