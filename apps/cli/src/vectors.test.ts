// SPDX-License-Identifier: Apache-2.0
// The bootloader commands against vectors recorded from MCUboot itself. `npm run conform -- mcuboot` plays all of them in one
// process; these few go through the command line, file by file.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { coalmine } from "./testing/spawn.ts";

const vectors = resolve(import.meta.dirname, "../../../../shared/vectors/mcuboot");
const withVectors = test.skipIf(!existsSync(join(vectors, "index.json")));
if (!existsSync(join(vectors, "index.json"))) {
  console.warn(`skipped: no MCUboot vectors in ${vectors}`);
}
const folder = mkdtempSync(join(tmpdir(), "coalmine-vectors-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Expected {
  readonly outcome: string;
  readonly rc?: number;
  readonly slot?: string;
  readonly hdr?: { readonly version: string };
  readonly sha: string;
  readonly areas: unknown;
  readonly swapType: string;
  readonly ops?: { readonly total: number; readonly writes: number; readonly erases: number };
}

interface Scenario {
  readonly flash0: { readonly file: string };
  readonly state0: unknown;
  readonly steps: readonly { readonly do: string; readonly permanent?: boolean; readonly cutBefore?: number; readonly expect: Expected }[];
}

const commands: Readonly<Record<string, string>> = { boot: "boot", setPending: "set-pending", setConfirmed: "set-confirmed" };

async function play(id: string): Promise<void> {
  const config = join(vectors, "boots", `${id}.json`);
  const place = existsSync(config) ? config : join(vectors, "cuts", `${id}.json`);
  const scenario = JSON.parse(readFileSync(place, "utf8")) as Scenario;
  let flash = join(vectors, scenario.flash0.file);
  const seen = await coalmine(["mcuboot", "trailer", "--flash", flash, "--config", place, "--json"]);
  expect(JSON.parse(seen.stdout), `${id}: before the first step`).toMatchObject(scenario.state0 as object);
  for (const [index, step] of scenario.steps.entries()) {
    const out = join(folder, `${id}-${index}.bin`);
    const more = [...(step.permanent === true ? ["--permanent"] : []), ...(step.cutBefore === undefined ? [] : ["--cut-before", String(step.cutBefore)])];
    const ended = await coalmine(["mcuboot", commands[step.do] as string, "--flash", flash, "--config", place, "--out", out, "--json", ...more]);
    const { outcome, rc, slot, hdr, sha, areas, swapType, ops } = step.expect;
    expect(JSON.parse(ended.stdout), `${id}: step ${index}, ${step.do}`).toMatchObject({
      outcome,
      sha,
      areas,
      swapType,
      ...(rc === undefined || outcome === "cut" ? {} : { rc }),
      ...(slot === undefined ? {} : { slot }),
      ...(hdr === undefined ? {} : { hdr: { version: hdr.version } }),
      ...(ops === undefined ? {} : { ops: { total: ops.total, writes: ops.writes, erases: ops.erases } }),
    });
    expect(ended.code, `${id}: step ${index}`).toBe(outcome === "fail" || outcome === "assert" || (outcome === "done" && rc !== 0) ? 1 : 0);
    flash = out;
  }
}

withVectors.each(["move-app-pending0-cut2", "move-hdr800-ed25519", "offset-4k8-grow-pb"])("%s: requests, cuts, boots and confirmations leave the flash that MCUboot left", play, 60_000);

interface Image {
  readonly image: { readonly file: string };
  readonly verdicts: readonly { readonly config: string; readonly primary?: string }[];
}

withVectors("artifact verify takes and refuses what MCUboot takes and refuses", async () => {
  const known = (JSON.parse(readFileSync(join(vectors, "index.json"), "utf8")) as { id: string; kind: string; file: string }[]).filter((entry) => entry.kind === "image");
  const judged = known.flatMap(({ id, file }) => {
    const image = JSON.parse(readFileSync(join(vectors, file), "utf8")) as Image;
    const verdict = image.verdicts.find((one) => one.config === "p256-a")?.primary;
    return verdict === undefined ? [] : [{ id, image, boots: verdict === "boot" }];
  });
  const some = (boots: boolean) => judged.filter((one) => one.boots === boots).filter((_, i, all) => i % Math.ceil(all.length / 3) === 0);
  const chosen = [...some(true), ...some(false)];
  expect(chosen.length).toBeGreaterThanOrEqual(5);
  const found = await Promise.all(
    chosen.map(async ({ id, image, boots }) => {
      const bytes = gunzipSync(readFileSync(join(vectors, image.image.file)));
      const path = join(folder, `${id}.img`);
      writeFileSync(path, bytes);
      const { code, stdout } = await coalmine(["artifact", "verify", path, "--key", join(vectors, "keys/ecdsa-p256-a.pub.pem"), "--slot-size", "65536", "--json"]);
      return { id, boots, code, ok: (JSON.parse(stdout) as { ok: boolean }).ok };
    }),
  );
  expect(found).toEqual(chosen.map(({ id, boots }) => ({ id, boots, code: boots ? 0 : 1, ok: boots })));
}, 60_000);
