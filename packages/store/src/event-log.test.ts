// SPDX-License-Identifier: Apache-2.0
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventLogContract, logEntry, sampleEntries } from "@coalmine/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openEventLog } from "./event-log.ts";
import { memoryEventLog } from "./memory-log.ts";
import { openSqlite, type Sqlite } from "./sqlite.ts";

eventLogContract("the log in a SQLite file", () => {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-log-"));
  return {
    open: () => openEventLog(join(folder, "log.sqlite")),
    persistent: true,
    dispose: () => rmSync(folder, { recursive: true }),
  };
});

eventLogContract("the log in memory", () => ({ open: () => memoryEventLog(), persistent: false, dispose: () => undefined }));

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coalmine-log-"));
  path = join(folder, "data", "log.sqlite");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function logWith(entries: number): Promise<void> {
  const log = openEventLog(path);
  for (let index = 0; index < entries; index += 1) {
    log.append(logEntry({ at: index, device: `device-${index}`, body: `body ${index}` }));
  }
  await log.close();
}

/** Does something to the file behind the log's back. */
function tamper(act: (database: Sqlite) => void): void {
  const database = openSqlite(path);
  act(database);
  database.close();
}

function verified(): ReturnType<ReturnType<typeof openEventLog>["verify"]> {
  const log = openEventLog(path, { readOnly: true });
  const result = log.verify();
  void log.close();
  return result;
}

describe("the hash chain (I10)", () => {
  const count = 40;
  const edits: readonly [string, string][] = [
    ["time", "update entry set at = at + 1 where sequence = ?"],
    ["type", "update entry set type = type || 'x' where sequence = ?"],
    ["device", "update entry set device = 'device-x' where sequence = ?"],
    ["device taken away", "update entry set device = null where sequence = ?"],
    ["body", "update entry set body = x'00' where sequence = ?"],
    ["epoch", "update entry set epoch = 7 where sequence = ?"],
    ["link", "update entry set link = zeroblob(32) where sequence = ?"],
    ["kind of column", "update entry set body = 'text' where sequence = ?"],
    ["removal", "delete from entry where sequence = ?"],
  ];

  it.each(edits)("finds the %s changed in any one entry", async (_, statement) => {
    await logWith(count);
    expect(verified()).toEqual({ ok: true, entries: count });
    for (let sequence = 1; sequence <= count; sequence += 1) {
      tamper((database) => {
        database.exec("create table saved as select * from entry");
        database.prepare(statement).run(sequence);
      });
      expect(verified(), `entry ${sequence}`).toMatchObject({ ok: false, brokenAt: sequence });
      tamper((database) => database.exec("delete from entry; insert into entry select * from saved; drop table saved"));
    }
    expect(verified()).toEqual({ ok: true, entries: count });
  });

  it("finds two entries that changed places", async () => {
    await logWith(count);
    for (let sequence = 1; sequence < count; sequence += 1) {
      const swap = (database: Sqlite): void => {
        database.prepare("update entry set sequence = -1 where sequence = ?").run(sequence);
        database.prepare("update entry set sequence = ? where sequence = ?").run(sequence, sequence + 1);
        database.prepare("update entry set sequence = ? where sequence = -1").run(sequence + 1);
      };
      tamper(swap);
      expect(verified()).toMatchObject({ ok: false, brokenAt: sequence });
      tamper(swap);
    }
    expect(verified()).toEqual({ ok: true, entries: count });
  });

  it("finds a cut tail, and does not open such a log for writing", async () => {
    await logWith(count);
    tamper((database) => database.exec("delete from entry where sequence > 30"));
    expect(verified()).toMatchObject({ ok: false, brokenAt: 31 });
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/corrupt-log" }));
  });

  it("finds a tail cut together with its head record, by the witness beside the log", async () => {
    await logWith(count);
    tamper((database) =>
      database.exec("delete from entry where sequence > 30; update head set sequence = 30, link = (select link from entry where sequence = 30)"),
    );
    expect(verified()).toEqual({ ok: true, entries: 30 });
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/rolled-back" }));
  });

  it("finds an entry slipped in at the end", async () => {
    await logWith(3);
    tamper((database) => database.exec("insert into entry select 4, at, type, device, body, epoch, link from entry where sequence = 3"));
    expect(verified()).toMatchObject({ ok: false, brokenAt: 4 });
  });

  it("finds an edit while the log is open", async () => {
    await logWith(3);
    const log = openEventLog(path);
    tamper((database) => database.exec("update entry set body = x'01' where sequence = 2"));
    expect(log.verify()).toMatchObject({ ok: false, brokenAt: 2 });
    await log.close();
  });
});

describe("one writer (I9)", () => {
  it("refuses a second writer and says who the first is", async () => {
    const first = openEventLog(path);
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/locked", message: expect.stringContaining(`process ${process.pid}`) }));
    first.append(logEntry());
    await first.durable();
    await first.close();
    await openEventLog(path).close();
  });

  it("lets readers in beside the writer", async () => {
    const writer = openEventLog(path);
    writer.append(logEntry());
    await writer.durable();
    const reader = openEventLog(path, { readOnly: true });
    expect([...reader.read(0)]).toHaveLength(1);
    expect(() => reader.append(logEntry())).toThrow("reading only");
    writer.append(logEntry());
    await writer.durable();
    expect(reader.verify()).toEqual({ ok: true, entries: 2 });
    await reader.close();
    await writer.close();
  });

  it("verifies what was there when it began, while the writer goes on", async () => {
    const writer = openEventLog(path);
    writer.append(logEntry());
    await writer.durable();
    const reader = openEventLog(path, {
      readOnly: true,
      openDatabase(file, options) {
        const database = openSqlite(file, options);
        const prepare = (sql: string): ReturnType<Sqlite["prepare"]> => {
          const statement = database.prepare(sql);
          const all: typeof statement.all = (...values) => {
            if (sql.startsWith("select * from entry") && writer.length === 1) {
              writer.append(logEntry());
              void writer.close(); // commits in this turn, between the head record and the entries
            }
            return statement.all(...values);
          };
          return { ...statement, all };
        };
        return { ...database, prepare };
      },
    });
    expect(reader.verify()).toEqual({ ok: true, entries: 1 });
    expect(writer.length).toBe(2);
    expect(reader.verify()).toEqual({ ok: true, entries: 2 });
    await reader.close();
  });

  it("fences a writer whose lock was taken away", async () => {
    const old = openEventLog(path);
    old.append(logEntry({ body: "by the old one" }));
    await old.durable();
    rmSync(`${path}-lock`);
    const next = openEventLog(path);
    old.append(logEntry({ body: "too late" }));
    await expect(old.durable()).rejects.toMatchObject({ code: "store/fenced" });
    expect(() => old.append(logEntry())).toThrow(expect.objectContaining({ code: "store/fenced" }));
    next.append(logEntry({ body: "by the new one" }));
    await next.durable();
    expect([...next.read(0)].map(({ body }) => new TextDecoder().decode(body))).toEqual(["by the old one", "by the new one"]);
    await old.close();
    await next.close();
  });

  it("refuses yesterday's copy of the log", async () => {
    await logWith(5);
    copyFileSync(path, `${path}.yesterday`);
    const log = openEventLog(path);
    log.append(logEntry());
    await log.close();
    copyFileSync(`${path}.yesterday`, path);
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/rolled-back" }));
  });
});

describe("what is no log of ours", () => {
  it("refuses a newer schema, another application's database and plain text", async () => {
    await logWith(1);
    tamper((database) => database.exec("pragma user_version = 2"));
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/newer-schema" }));
    tamper((database) => database.exec("pragma user_version = 1; pragma application_id = 5"));
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/not-a-log" }));
    copyFileSync(import.meta.filename, path);
    expect(() => openEventLog(path)).toThrow(expect.objectContaining({ code: "store/corrupt-log" }));
    // None of the refusals kept the lock.
    rmSync(path);
    rmSync(`${path}-head.json`);
    await openEventLog(path).close();
  });
});

describe("snapshots", () => {
  it("keeps two, and falls back to the older when the newer is broken", async () => {
    const log = openEventLog(path);
    for (const sequence of [1, 2, 3]) {
      log.append(logEntry({ body: `${sequence}` }));
      log.saveSnapshot(sequence, new Uint8Array([sequence]));
    }
    await log.close();
    const load = (): unknown => {
      const reader = openEventLog(path, { readOnly: true });
      const loaded = reader.loadSnapshot();
      void reader.close();
      return loaded;
    };
    tamper((database) => expect(database.prepare("select sequence from snapshot").all()).toHaveLength(2));
    expect(load()).toEqual({ sequence: 3, state: new Uint8Array([3]) });
    tamper((database) => database.exec("update snapshot set state = x'ff' where sequence = 3"));
    expect(load()).toEqual({ sequence: 2, state: new Uint8Array([2]) });
    tamper((database) => database.exec("update snapshot set link = zeroblob(32) where sequence = 2"));
    expect(load()).toBeNull();
  });
});

describe("a disk that fails (I1)", () => {
  /** A database whose n-th call fails as a full disk does. */
  function failing(nth: number): { open: typeof openSqlite; calls: () => number } {
    let calls = 0;
    const step = (): void => {
      calls += 1;
      if (calls === nth) {
        throw Object.assign(new Error("database or disk is full"), { code: "ERR_SQLITE_ERROR", errcode: 13 });
      }
    };
    const open: typeof openSqlite = (file, options) => {
      const database = openSqlite(file, options);
      return {
        exec: (statement) => {
          if (statement !== "rollback") {
            step();
          }
          database.exec(statement);
        },
        prepare: (text) => {
          const statement = database.prepare(text);
          return {
            ...statement,
            run: (...values) => {
              step();
              statement.run(...values);
            },
          };
        },
        close: () => database.close(),
      };
    };
    return { open, calls: () => calls };
  }

  /** Appends one by one and tells which entries were acknowledged. */
  async function acknowledged(open: typeof openSqlite): Promise<{ done: string[]; error: unknown }> {
    const done: string[] = [];
    let error: unknown;
    let log: ReturnType<typeof openEventLog> | undefined;
    try {
      log = openEventLog(path, { openDatabase: open });
      for (let index = 0; index < 6; index += 1) {
        const bodies = Array.from({ length: index === 3 ? 20 : 1 }, (_, part) => `${index}.${part}`);
        for (const body of bodies) {
          log.append(logEntry({ body }));
        }
        if (index === 4) {
          log.saveSnapshot(log.length, new Uint8Array(10));
        }
        await log.durable();
        done.push(...bodies);
      }
    } catch (cause) {
      error = cause;
    }
    if (log !== undefined && error !== undefined) {
      expect(() => log.append(logEntry())).toThrow(error);
      await expect(log.durable()).rejects.toBe(error);
    }
    await log?.close();
    return { done, error };
  }

  it("acknowledges nothing it did not keep, whichever write fails, and works again after a restart", async () => {
    const clean = failing(0);
    expect((await acknowledged(clean.open)).done).toHaveLength(25);
    const calls = clean.calls();
    expect(calls).toBeGreaterThan(25);
    for (let nth = 1; nth <= calls; nth += 1) {
      rmSync(join(folder, "data"), { recursive: true });
      const { done, error } = await acknowledged(failing(nth).open);
      if (done.length > 0 && done.length < 25) {
        expect(error).toMatchObject({ code: "store/write-failed", retry: "later" });
      }
      const log = openEventLog(path);
      const kept = [...log.read(0)].map(({ body }) => new TextDecoder().decode(body));
      expect(kept.slice(0, done.length), `call ${nth}`).toEqual(done);
      expect(log.verify()).toEqual({ ok: true, entries: kept.length });
      log.append(logEntry());
      await log.durable();
      await log.close();
    }
  });

  it("says so when the file really may not grow, and keeps what it acknowledged", async () => {
    await logWith(3);
    const log = openEventLog(path, {
      openDatabase: (file, options) => {
        const database = openSqlite(file, options);
        database.exec("pragma max_page_count = 12");
        return database;
      },
    });
    let kept = log.length;
    await expect(
      (async () => {
        for (;;) {
          log.append(logEntry({ body: new Uint8Array(3_000) }));
          await log.durable();
          kept = log.length;
        }
      })(),
    ).rejects.toMatchObject({ code: "store/write-failed", message: expect.stringContaining("full") });
    await log.close();
    expect(kept).toBeGreaterThan(3);
    expect(verified()).toEqual({ ok: true, entries: kept });
  });
});

describe("group commit", () => {
  it("commits entries nobody waits for, within the delay", async () => {
    const log = openEventLog(path);
    log.append(logEntry());
    const reader = openEventLog(path, { readOnly: true });
    expect([...reader.read(0)]).toEqual([]);
    await expect.poll(() => stored(), { interval: 2 }).toBe(1);
    await reader.close();
    await log.close();
  });

  it("shares one commit among everything that arrives together", async () => {
    let commits = 0;
    const log = openEventLog(path, {
      openDatabase: (file, options) => {
        const database = openSqlite(file, options);
        return { ...database, exec: (statement) => ((commits += statement === "commit" ? 1 : 0), database.exec(statement)) };
      },
    });
    commits = 0;
    await Promise.all(
      Array.from({ length: 500 }, () => {
        log.append(logEntry());
        return log.durable();
      }),
    );
    expect(commits).toBe(1);
    await log.close();
  });
});

/** Entries that are committed, as another connection sees them. */
function stored(): number {
  const log = openEventLog(path, { readOnly: true });
  void log.close();
  return log.length;
}

describe("the log in memory", () => {
  it("notices an entry that was changed after it was appended", () => {
    const log = memoryEventLog();
    const bodies = Array.from({ length: 5_000 }, (_, index) => new Uint8Array(40).fill(index));
    for (const body of bodies) {
      log.append(logEntry({ body }));
    }
    expect(log.verify()).toEqual({ ok: true, entries: 5_000 });
    (bodies[3_210] as Uint8Array)[5] = 1;
    const result = log.verify();
    expect(result.ok).toBe(false);
    expect(result.ok ? 0 : result.brokenAt).toBeLessThanOrEqual(3_211);
  });

  it("gives the same digest whether it keeps its entries or not", () => {
    const logs = [memoryEventLog({ keep: true }), memoryEventLog({ keep: false })];
    for (const log of logs) {
      sampleEntries.forEach((entry) => log.append(entry));
    }
    expect(logs[1]?.digest()).toEqual(logs[0]?.digest());
    expect(() => logs[1]?.read(0)).toThrow("keeps no entries");
    expect([...(logs[1]?.read(sampleEntries.length) ?? [1])]).toEqual([]);
    expect(logs[1]?.verify()).toEqual({ ok: true, entries: 0 });
  });
});
