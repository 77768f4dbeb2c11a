// SPDX-License-Identifier: Apache-2.0
import type { Digest } from "@coalmine/core";
import { buildIdIn } from "@coalmine/coredump";
import { buildElf } from "@coalmine/coredump/testing";
import { buildImage, parseVersion } from "@coalmine/mcuboot";
import { ED25519 } from "@coalmine/mcuboot/testing";
import { expect, test } from "vitest";
import { Conductor } from "../conductor.ts";
import { boundJudge } from "../judge.ts";
import { operator, start } from "../testing/build.ts";
import { addSymbols, buildIdOf, inspectSymbols } from "./symbols.ts";

const [one, two] = [new Uint8Array(20).fill(0xa1), new Uint8Array(20).fill(0xb2)] as const;
const elf = buildElf([{ name: "main", value: 0x2001, size: 0x40, type: 2 }], { start: 0x1000, bytes: new Array<number>(0x2000).fill(0) });

/** A program with a GNU build-id note among its constants, as linkers write it. */
function programWith(build: Uint8Array): Uint8Array {
  const payload = new Uint8Array(1_024);
  payload.set([4, 0, 0, 0, build.length, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, ...build], 64);
  return payload;
}

test("the build id of an artifact is that of the ELF given for it: of the variant whose program holds it, and none before (R56)", () => {
  const files = new Map<string, Uint8Array>();
  const artifacts = [one, two].map((build, index) => {
    const digest = `${index}`.repeat(64) as Digest;
    files.set(digest, buildImage({ version: parseVersion("1.1.0"), headerSize: 512, payload: programWith(build), key: ED25519 }));
    return { variant: { board: "b", revision: `${index}`, partitionMap: "pm" }, digest, imageHash: `${index + 2}`.repeat(64), size: 2_048, version: "1.1.0" };
  });
  const conductor = new Conductor(boundJudge);
  conductor.change({ type: "release-created", release: "1.1.0" as never, version: "1.1.0", artifacts, notes: "", authority: operator }, start);
  const release = conductor.state.releases.get("1.1.0" as never) as never as Parameters<typeof buildIdOf>[0];
  const told = (): (string | null)[] => artifacts.map((artifact) => buildIdOf(release, artifact));
  const add = (build: Uint8Array): void => {
    const input = { release: "1.1.0", bytes: elf, buildId: build.toHex(), authority: operator };
    addSymbols(conductor, input, { ...inspectSymbols(conductor, input, { get: (digest) => files.get(digest) ?? null }), digest: "d".repeat(64) as Digest }, start);
  };
  expect(told()).toEqual([null, null]);
  add(two);
  expect(told()).toEqual([null, two.toHex()]);
  add(one);
  expect(told()).toEqual([one.toHex(), two.toHex()]);
  add(new Uint8Array(20).fill(0xcc)); // of no artifact: kept for the crashes that name it, and nobody's
  expect(told()).toEqual([one.toHex(), two.toHex()]);
});

test("a program tells its build id itself, where its linker put one", () => {
  expect([buildIdIn(programWith(one)), buildIdIn(new Uint8Array(1_024))]).toEqual([one.toHex(), null]);
});
