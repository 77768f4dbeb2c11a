// SPDX-License-Identifier: Apache-2.0
// Archives as folders: <dir>/<release>/, with SHA256SUMS as `sha256sum --check` reads it.
import { CoalmineError } from "@coalmine/core";
import { type ArchivedFile, type ArchiveStore, type ArchiveWriter, checksumLines, checksumsName } from "@coalmine/orchestrator";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readFileSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { syncFolder } from "./durable-file.ts";

/** Names inside an archive: folders and files of harmless characters, nothing that climbs out. */
const nameText = /^(?!.*(?:^|\/)\.)[A-Za-z0-9._+-]{1,80}(?:\/[A-Za-z0-9._+-]{1,80}){0,3}$/;
const releaseText = /^(?!\.)[A-Za-z0-9._+-]{1,64}$/;

/** Opens a folder of archives, creating it when absent. What an interrupted writer left is removed when its release is archived again. */
export function openArchiveStore(folder: string): ArchiveStore {
  mkdirSync(folder, { recursive: true });
  return {
    begin: (release) => new FolderWriter(join(folder, `.${checked(release)}.new`), join(folder, checked(release))),
    has: (release) => existsSync(join(folder, checked(release), checksumsName)),
    check: (release) => check(join(folder, checked(release)), release),
    open: (release, name) => pieces(join(folder, checked(release), inside(name)), release),
    read: (release, name) => {
      const path = join(folder, checked(release), inside(name));
      try {
        const file = readFileSync(path);
        return new Uint8Array(file.buffer, file.byteOffset, file.length);
      } catch (cause) {
        throw unreadable(release, name, cause);
      }
    },
  };
}

async function* pieces(path: string, release: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of createReadStream(path)) {
      yield piece as Uint8Array;
    }
  } catch (cause) {
    throw unreadable(release, basename(path), cause);
  }
}

function unreadable(release: string, name: string, cause: unknown): CoalmineError {
  return new CoalmineError("archive/unreadable", `the archive of release ${release} has no readable ${name}: ${(cause as Error).message}`, { cause });
}

function checked(release: string): string {
  if (!releaseText.test(release)) {
    throw new CoalmineError("archive/name", `release id ${JSON.stringify(release)} cannot name a folder`);
  }
  return release;
}

function inside(name: string): string {
  if (!nameText.test(name) || name === checksumsName) {
    throw new CoalmineError("archive/name", `${JSON.stringify(name)} cannot name a file of an archive`);
  }
  return name;
}

class FolderWriter implements ArchiveWriter {
  readonly #temporary: string;
  readonly #final: string;
  readonly #files: ArchivedFile[] = [];
  #isFresh = false;

  constructor(temporary: string, final: string) {
    this.#temporary = temporary;
    this.#final = final;
  }

  async add(name: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<ArchivedFile> {
    if (!this.#isFresh) {
      await rm(this.#temporary, { recursive: true, force: true });
      this.#isFresh = true;
    }
    const path = join(this.#temporary, inside(name));
    await mkdir(dirname(path), { recursive: true });
    const digest = createHash("sha256");
    let size = 0;
    const file = await open(path, "wx", 0o644);
    try {
      for await (const chunk of content instanceof Uint8Array ? [content] : content) {
        digest.update(chunk);
        size += chunk.length;
        await file.writeFile(chunk);
      }
      await file.sync();
    } catch (cause) {
      throw cause instanceof CoalmineError ? cause : new CoalmineError("archive/write-failed", `cannot write ${path}: ${(cause as Error).message}`, { cause, retry: "later" });
    } finally {
      await file.close();
    }
    const written = { name, size, sha256: digest.digest("hex") };
    this.#files.push(written);
    return written;
  }

  async finish(): Promise<void> {
    const file = await open(join(this.#temporary, checksumsName), "wx", 0o644);
    try {
      await file.writeFile(checksumLines(this.#files));
      await file.sync();
    } finally {
      await file.close();
    }
    for (const folder of new Set(this.#files.map(({ name }) => dirname(join(this.#temporary, name))))) {
      await syncFolder(folder);
    }
    await syncFolder(this.#temporary);
    await rm(this.#final, { recursive: true, force: true });
    await rename(this.#temporary, this.#final);
    await syncFolder(dirname(this.#final));
  }

  async discard(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
    await rm(this.#final, { recursive: true, force: true });
  }
}

/** Reads every file back and compares it with SHA256SUMS; nothing may be missing and nothing beside them. */
async function check(folder: string, release: string): Promise<ArchivedFile[]> {
  const bad = (why: string, cause?: unknown): CoalmineError =>
    new CoalmineError("archive/damaged", `the archive of release ${release} (${folder}) is not what was written: ${why}; take it from a copy`, { cause });
  let text: string;
  try {
    text = readFileSync(join(folder, checksumsName), "utf8");
  } catch (cause) {
    throw bad(`no ${checksumsName}`, cause);
  }
  const files: ArchivedFile[] = [];
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const match = /^([0-9a-f]{64}) {2}(.+)$/.exec(line);
    if (match === null || !nameText.test(match[2] as string)) {
      throw bad(`${checksumsName} has a line that names no file: ${JSON.stringify(line.slice(0, 100))}`);
    }
    const [, sha256, name] = match as unknown as [string, string, string];
    const digest = createHash("sha256");
    let size = 0;
    try {
      for await (const chunk of createReadStream(join(folder, name))) {
        digest.update(chunk as Uint8Array);
        size += (chunk as Uint8Array).length;
      }
    } catch (cause) {
      throw bad(`${name} cannot be read`, cause);
    }
    if (digest.digest("hex") !== sha256) {
      throw bad(`${name} has another checksum`);
    }
    files.push({ name, size, sha256 });
  }
  const there = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory()).map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));
  const known = new Set([checksumsName, ...files.map(({ name }) => name)]);
  const extra = there.find((name) => !known.has(name));
  if (extra !== undefined) {
    throw bad(`${extra} is not in ${checksumsName}`);
  }
  return files;
}
