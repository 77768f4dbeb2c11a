// SPDX-License-Identifier: Apache-2.0
// R13: a release is checked by its binary, against itself and against the fleet.
import { bootConfig, buildImage, loadPublicKey, padImage, parseVersion, type PublicKey, slotCapacity } from "@coalmine/mcuboot";
import { ED25519, ED25519_OTHER, P256 } from "@coalmine/mcuboot/testing";
import type { DowngradePrevention, Hardware, Hello, Report, SwapMode } from "@coalmine/protocol";
import { describe, expect, test } from "vitest";
import { Conductor } from "./conductor.ts";
import type { Declaration } from "./declaration.ts";
import { inspectArtifact } from "./inspection.ts";
import { boundJudge } from "./judge.ts";
import { createRelease, inspectRelease, startRollout, tagDevice } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import { replay } from "./replay.ts";
import { preflight } from "./preflight.ts";
import { bootloaderFacts, roomMax } from "./slots.ts";
import { hashOf, operator, Speaker, start } from "./testing/build.ts";

const variant = { board: "nrf52840dk", revision: "revA", partitionMap: "pm1" };
const key = loadPublicKey(ED25519);

interface Choice {
  readonly version?: string;
  readonly size?: number;
  readonly key?: typeof ED25519 | undefined;
  readonly securityCounter?: number;
}

function image(choice: Choice = {}): Uint8Array {
  const { version = "1.1.0", size = 8_000, securityCounter } = choice;
  return buildImage({
    version: parseVersion(version),
    payload: new Uint8Array(size).map((_, i) => (i * 7) & 0xff),
    headerSize: 0x200,
    key: "key" in choice ? choice.key : ED25519,
    ...(securityCounter === undefined ? {} : { securityCounter }),
  });
}

interface Board extends Partial<Pick<Hardware, "mode" | "slotSize">> {
  /** How its bootloader prevents downgrades, where it says so. */
  readonly downgrade?: DowngradePrevention;
  readonly version?: string;
  readonly confirmed?: boolean;
  readonly site?: string;
  readonly imageHash?: Uint8Array;
  readonly schema?: number;
  readonly partitionMap?: string;
}

function fleet(boards: Readonly<Record<string, Board>>): Conductor {
  const conductor = new Conductor(boundJudge);
  for (const [id, board] of Object.entries(boards)) {
    const speaker = new Speaker(id);
    speaker.running = board.version ?? "1.0.0";
    speaker.confirmed = board.confirmed ?? true;
    speaker.downgrade = board.downgrade;
    const hello = speaker.hello();
    if (hello.body.kind !== "hello") {
      throw new Error("a hello");
    }
    const body = {
      ...hello.body,
      hardware: { ...hello.body.hardware, mode: board.mode ?? "swap-move", slotSize: board.slotSize ?? 65_536, partitionMap: board.partitionMap ?? "pm1" },
      storageSchema: board.schema ?? 1,
      running: { ...hello.body.running, imageHash: board.imageHash ?? hello.body.running.imageHash },
      attributes: { site: board.site ?? "field" },
    };
    conductor.report(speaker.id, "virtual", { ...hello, body }, start);
  }
  return conductor;
}

function register(conductor: Conductor, bytes: Uint8Array, id = "1.1.0", keys: readonly PublicKey[] = [key], said: Declaration & { override?: boolean } = {}): void {
  const input = { id, artifacts: [{ variant, bytes }], ...said, authority: operator };
  createRelease(conductor, input, inspectRelease(conductor, input, keys), start);
}

const check = (conductor: Conductor, id = "1.1.0") => preflight(conductor.state, conductor.state.releases.get(id as never) as never);

describe("a file by itself", () => {
  const refusal = (bytes: Uint8Array, keys: readonly PublicKey[] = [key]): string => {
    try {
      inspectArtifact({ variant, bytes }, keys);
      return "accepted";
    } catch (error) {
      return `${(error as { code: string }).code} ${(error as Error).message}`;
    }
  };
  const flipped = (at: number): Uint8Array => {
    const bytes = image();
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };

  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /artifact\/malformed .*ends within the 32-byte header/],
    ["text", new TextEncoder().encode("#!/bin/sh\n".repeat(100)), /artifact\/malformed .*no MCUboot image magic.*at byte 0/],
    ["a header alone", image().subarray(0, 32), /artifact\/malformed .*announces/],
    ["an image cut short", image().subarray(0, image().length - 1), /artifact\/malformed /],
    ["a changed payload", flipped(0x300), /artifact\/refused .*hash-mismatch$/],
    ["a changed header", flipped(20), /artifact\/refused .*hash-mismatch$/],
    ["a changed signature", flipped(image().length - 1), /artifact\/refused .*signature-mismatch$/],
    ["no signature", image({ key: undefined }), /artifact\/refused .*signature-missing: the image is not signed/],
    ["another Ed25519 key", image({ key: ED25519_OTHER }), new RegExp(`signed with key ${loadPublicKey(ED25519_OTHER).hash.toHex().slice(0, 16)}; trusted is ${key.hash.toHex().slice(0, 16)}`)],
    ["a key of another type", image({ key: P256 }), new RegExp(`signed with key ${loadPublicKey(P256).hash.toHex().slice(0, 16)}; trusted is`)],
    ["a trailer behind it", padImage(image(), { slotSize: 65_536, align: 8, maxImgSectors: 128 }), /artifact\/padded .*follow the image.*without a trial/],
    ["a confirmed trailer behind it", padImage(image(), { slotSize: 65_536, align: 8, maxImgSectors: 128, confirm: true }), /artifact\/padded /],
  ])("%s is refused, and the message says why", (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
  });

  test("what it says of itself is kept, the security counter too", () => {
    expect(inspectArtifact({ variant, bytes: image({ securityCounter: 9, version: "1.2.3+4" }) }, [key])).toMatchObject({ version: "1.2.3+4", securityCounter: 9 });
    expect(inspectArtifact({ variant, bytes: image() }, [key])).not.toHaveProperty("securityCounter");
  });

  test("200 images with one changed byte or bit are refused or are what they were, and none escapes as another error", () => {
    const good = image({ size: 300 });
    for (let round = 0; round < 200; round++) {
      const bytes = good.slice();
      const at = (round * 7919) % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
      expect(refusal(bytes)).toMatch(/^artifact\/(malformed|refused|padded) /);
    }
  });
});

describe("MCUboot's published sample keys", () => {
  // The private halves are public but not ours to ship: a key of ours under the hash of root-ec-p256 takes their place.
  const sampleHash = Uint8Array.fromHex("e30466f6b8470c1f29070b17f1e2d3e94d445e3f608087fdc711e4382bb538b6");
  const sample: PublicKey = { ...key, hash: sampleHash };
  const signed = image();
  const at = signed.toHex().indexOf(key.hash.toHex()) / 2;
  signed.set(sampleHash, at);

  test("a release signed with one is refused where a field device would take it, by name", () => {
    expect(() => register(fleet({ d0: {}, d1: { site: "lab" } }), signed, "r", [sample])).toThrow(/sample key root-ec-p256, whose private half everybody has.* d0 is none/);
    expect(() => register(fleet({}), signed, "r", [sample])).toThrow(/none of this hardware has reported/);
  });

  test("in a lab it is taken, and a field device that turns up later never gets it", () => {
    const conductor = fleet({ d0: { site: "lab" }, d1: {} });
    tagDevice(conductor, { device: "d1", add: ["lab"], remove: [], authority: operator }, start);
    register(conductor, signed, "r", [sample]);
    expect(check(conductor, "r")).toMatchObject({ installable: 2, refused: 0 });
    conductor.report(new Speaker("d2").id, "virtual", new Speaker("d2").hello(), start);
    expect(check(conductor, "r").devices.find((one) => one.device === "d2")).toMatchObject({ outcome: "refused", reasons: [expect.stringMatching(/no lab device.*root-ec-p256/)] });
  });

  test("an untrusted one is named", () => {
    expect(() => register(fleet({}), signed)).toThrow(/signed with key e30466f6b8470c1f \(MCUboot's published sample key root-ec-p256\)/);
  });
});

describe("size against slots", () => {
  test("what no device of the hardware can hold is refused at registration; what only some cannot, for those", () => {
    const small = { slotSize: 8_192 };
    expect(() => register(fleet({ d0: small, d1: small }), image())).toThrow(/artifact for nrf52840dk\/revA\/pm1: \d+ bytes, and the slot of 8192 in mode swap-move takes at most \d+/);
    const conductor = fleet({ d0: small, d1: {} });
    register(conductor, image());
    expect(check(conductor)).toMatchObject({ installable: 1, refused: 1, hardware: [expect.objectContaining({ slotSize: 8_192, fits: false, devices: 1 }), expect.objectContaining({ slotSize: 65_536, fits: true })] });
    expect(check(conductor).devices[0]?.reasons[0]).toMatch(/no room for the swap-move trailer: its slot of 8192 takes at most \d+/);
  });

  test.each<SwapMode>(["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"])("%s: a slot never holds more than is promised, whatever its sectors and write size", (mode) => {
    for (const sectorSize of [256, 1_024, 2_048, 4_096, 16_384, 131_072]) {
      for (const sectors of [2, 3, 8, 37, 128]) {
        for (const align of [1, 4, 8, 16, 32]) {
          const size = sectorSize * sectors;
          const area = (name: string, id: number, off: number, bytes: number) => ({ name, id, off, size: bytes, align, sectors: [[bytes / sectorSize, sectorSize]] as const });
          const extra = mode === "swap-offset" ? sectorSize : 0;
          const areas = [area("primary", 1, 0, size), area("secondary", 2, size, size + extra), ...(mode === "swap-scratch" ? [area("scratch", 3, 2 * size + extra, sectorSize)] : [])];
          const capacity = slotCapacity(bootConfig({ mode, maxAlign: Math.max(8, align), maxImgSectors: sectors + 1 }), areas);
          const most = roomMax({ mode, slotSize: size + extra });
          expect(capacity, `${sectors} sectors of ${sectorSize}, align ${align}`).toBeLessThanOrEqual(most);
        }
      }
    }
  });

  test("a slot smaller than any trailer has no room, and a device's nonsense is no error", () => {
    for (const mode of ["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"] as const) {
      expect([0, 1, 16, 0xffffffff].map((slotSize) => roomMax({ mode, slotSize }))).toEqual([0, 0, 0, expect.any(Number)]);
    }
  });
});

describe("from-versions", () => {
  test("each is listed with what stands against it: version and security counter", () => {
    const conductor = fleet({ d0: {}, d1: { version: "2.0.0" } });
    const counted = image({ version: "1.0.5", securityCounter: 5 });
    register(conductor, counted, "1.0.5");
    const hash = conductor.state.releases.get("1.0.5" as never)?.artifacts[0]?.imageHash ?? "";
    const later = fleet({ d0: {}, d1: { version: "2.0.0" }, d2: { version: "1.0.5", imageHash: Uint8Array.fromHex(hash) } });
    register(later, counted, "1.0.5");
    register(later, image({ securityCounter: 4 }), "1.1.0");
    register(later, image({ version: "1.2.0" }), "1.2.0");
    register(later, image({ version: "1.3.0", securityCounter: 5 }), "1.3.0");
    expect(check(later, "1.1.0").fromVersions).toEqual([
      { version: "1.0.0", devices: 1, installable: 1, direction: "upgrade", obstacles: [] },
      { version: "1.0.5", devices: 1, installable: 1, direction: "upgrade", obstacles: ["security counter 4, below the 5 of 1.0.5: a bootloader that compares counters refuses it"] },
      { version: "2.0.0", devices: 1, installable: 1, direction: "downgrade", obstacles: ["1.1.0 is older than 2.0.0: a bootloader with downgrade prevention refuses it"] },
    ]);
    expect(check(later, "1.1.0")).toMatchObject({ installable: 1, risky: 2, refused: 0 });
    expect(check(later, "1.2.0").fromVersions[1]?.obstacles).toEqual(["no security counter, below the 5 of 1.0.5: a bootloader that compares counters refuses it"]);
    expect(check(later, "1.3.0").fromVersions[1]?.obstacles).toEqual([]);
  });

  test("a bootloader that has said how it was built is told of in so many words: one that would refuse is left out, one that would not is no risk (R34)", () => {
    const running = (downgrade: DowngradePrevention) => ({ version: "2.0.0", downgrade });
    const conductor = fleet({ d0: running("none"), d1: running("version"), d2: running("counter"), d3: { version: "1.1.0+7", downgrade: "version+build" }, d4: { version: "1.1.0+7", downgrade: "version" }, d5: { version: "2.0.0" } });
    register(conductor, image());
    expect(check(conductor).devices.map((one) => `${one.outcome} ${one.code ?? ""} ${one.reasons.join()}`)).toEqual([
      "installable  ",
      "refused bootloader its bootloader prevents downgrades: 1.1.0 is older than 2.0.0",
      "risky  its bootloader compares security counters, and that of 2.0.0 is not known",
      "refused bootloader its bootloader prevents downgrades: 1.1.0 is older than 1.1.0+7",
      "installable  ",
      "risky  1.1.0 is older than 2.0.0: a bootloader with downgrade prevention refuses it",
    ]);
    const { membership } = startRollout(conductor, { release: "1.1.0", plan: planFromData({ stages: ["100%"], gates: { "boot-confirmation": {} } }), seed: 1, authority: operator }, start);
    expect(membership.members.map(({ device }) => device).toSorted()).toEqual(["d0", "d2", "d4", "d5"]);
  });

  test("a counter that is known to be lower is told of as what it is", () => {
    const first = fleet({ d0: {} });
    const counted = image({ version: "1.0.5", securityCounter: 5 });
    register(first, counted, "1.0.5");
    const hash = first.state.releases.get("1.0.5" as never)?.artifacts[0]?.imageHash ?? "";
    const conductor = fleet({ d0: { version: "1.0.5", imageHash: Uint8Array.fromHex(hash), downgrade: "counter" }, d1: { version: "1.0.5", imageHash: Uint8Array.fromHex(hash), downgrade: "version" } });
    register(conductor, counted, "1.0.5");
    register(conductor, image({ securityCounter: 4 }), "1.1.0");
    expect(check(conductor, "1.1.0").devices.map((one) => one.reasons)).toEqual([["its bootloader compares security counters: 4 is below the 5 of 1.0.5"], []]);
  });

  test("direct-XIP runs the newest version: an older one is refused for it, an equal one is a risk", () => {
    const conductor = fleet({ d0: { mode: "direct-xip", version: "2.0.0" }, d1: { mode: "direct-xip", version: "1.1.0+7" }, d2: { mode: "direct-xip" } });
    register(conductor, image());
    expect(check(conductor).devices.map((one) => `${one.outcome} ${one.reasons.join()}`)).toEqual([
      expect.stringMatching(/^refused direct-xip runs the newest version, and 1.1.0 is older than 2.0.0/),
      expect.stringMatching(/^risky 1.1.0 is not newer than 1.1.0\+7: direct-xip stays/),
      "installable ",
    ]);
  });
});

test("B.4: what a mode keeps and can undo is known for every device; direct-XIP does not say whether it reverts", () => {
  const facts = Object.fromEntries((["swap-move", "swap-offset", "swap-scratch", "overwrite", "direct-xip"] as const).map((mode) => [mode, Object.values(bootloaderFacts({ mode }))]));
  expect(facts).toEqual({
    "swap-move": [true, true, true],
    "swap-offset": [true, false, true],
    "swap-scratch": [true, true, true],
    overwrite: [false, false, false],
    "direct-xip": [true, false, null],
  });
  const conductor = fleet({ d0: {}, d1: { mode: "overwrite" } });
  register(conductor, image());
  expect(check(conductor).hardware.map(({ mode, keepsRollbackImage }) => `${mode} ${keepsRollbackImage}`)).toEqual(["swap-move true", "overwrite false"]);
});

test("a device that runs an unconfirmed image is a risk: an upload would destroy its fallback", () => {
  const conductor = fleet({ d0: { confirmed: false, imageHash: hashOf("trial") } });
  register(conductor, image());
  expect(check(conductor).devices[0]).toMatchObject({ outcome: "risky", reasons: [expect.stringMatching(/unconfirmed image/)] });
});

const declare = (conductor: Conductor, version: string, said: Declaration & { override?: boolean }): void => register(conductor, image({ version }), version, [key], said);

const plan = planFromData({ stages: [1, "100%"], strata: ["hardware"], gates: { "boot-confirmation": { minSample: 1 } }, representativeness: "warn" });
const startOf = (conductor: Conductor, release: string, ids?: string[]) => startRollout(conductor, { release, plan, seed: 7, selector: { ids }, authority: operator }, start);

describe("hops: where a release was tested from (R46)", () => {
  const releases = (conductor: Conductor): void => {
    declare(conductor, "1.1.0", { storage: { minRead: 1, maxRead: 2, writes: 2 } });
    declare(conductor, "1.2.0", { storage: { minRead: 2, maxRead: 3, writes: 3 }, from: [{ min: "1.1.0", max: "1.1.9" }], hop: "1.1.0" });
    declare(conductor, "2.0.0", { storage: { minRead: 3, maxRead: 3, writes: 3 }, from: [{ min: "1.2.0" }] });
  };

  test("a device that must go through another release is refused, and the whole way is offered", () => {
    const conductor = fleet({ d0: {}, d1: { version: "1.1.4", schema: 2 }, d2: { version: "1.2.0", schema: 3 } });
    releases(conductor);
    const result = check(conductor, "2.0.0");
    expect(result.devices).toEqual([
      expect.objectContaining({ outcome: "refused", code: "schema", hops: ["1.1.0", "1.2.0"], reasons: ["it holds storage schema 1, and release 2.0.0 reads 3 alone: release 1.1.0 goes first, then 1.2.0"] }),
      expect.objectContaining({ outcome: "refused", hops: ["1.2.0"] }),
      expect.objectContaining({ outcome: "installable", code: null, hops: [] }),
    ]);
    expect(result.hops).toEqual([{ release: "1.1.0", devices: 1, from: ["1.0.0"] }, { release: "1.2.0", devices: 1, from: ["1.1.4"] }]);
  });

  test("a hop that is barred, or that nobody registered, is named and not offered", () => {
    const conductor = fleet({ d0: {} });
    declare(conductor, "1.2.0", { from: [{ min: "1.1.0" }], hop: "1.1.0" });
    expect(check(conductor, "1.2.0").devices[0]).toMatchObject({ code: "from", hops: [], reasons: ["it runs 1.0.0, and release 1.2.0 installs over from 1.1.0 only: version 1.1.0 goes first, and no release of it is registered that fits"] });
    declare(conductor, "1.1.0", {});
    expect(check(conductor, "1.2.0").devices[0]?.hops).toEqual(["1.1.0"]);
    conductor.change({ type: "release-barred", release: "1.1.0" as never, authority: operator }, start);
    expect(check(conductor, "1.2.0").devices[0]?.hops).toEqual([]);
  });

  test("on the way down the storage schema decides, not where the older release was tested from", () => {
    const conductor = fleet({ d0: { version: "2.0.0", schema: 1 }, d1: { version: "2.0.0", schema: 2 } });
    declare(conductor, "1.1.0", { storage: { minRead: 1, maxRead: 1, writes: 1 }, from: [{ min: "1.0.0", max: "1.0.9" }] });
    expect(check(conductor).devices.map((one) => `${one.outcome} ${one.code}`)).toEqual(["risky null", "refused schema"]);
  });
});

describe("what a release changes in the data layout (R42, R45)", () => {
  test("a release that writes another schema is a migration, said or not; one that denies it is refused", () => {
    const conductor = fleet({ d0: {} });
    declare(conductor, "1.1.0", { storage: { minRead: 1, maxRead: 2, writes: 2 } });
    expect(conductor.state.releases.get("1.1.0" as never)?.migration).toBe(true);
    expect(check(conductor).layout).toMatchObject({ migration: true, changes: [{ kind: "storage-schema", what: "storage schema 1 becomes 2" }], schemas: [{ schema: 1, devices: 1, outcome: "migrated", oneWayFrom: [] }] });
    expect(() => declare(conductor, "1.2.0", { storage: { minRead: 1, maxRead: 2, writes: 2 }, migration: false })).toThrow(/says that it is no migration, and storage schema 1 becomes 2/);
    declare(conductor, "1.0.5", { storage: { minRead: 1, maxRead: 1, writes: 1 } });
    expect(conductor.state.releases.get("1.0.5" as never)?.migration).toBe(false);
  });

  test("versions that do not read what it writes are named: after its confirmation they are no way back", () => {
    const conductor = fleet({});
    declare(conductor, "1.0.0", { storage: { minRead: 1, maxRead: 1, writes: 1 } });
    const hash = conductor.state.releases.get("1.0.0" as never)?.artifacts[0]?.imageHash ?? "";
    conductor.report(new Speaker("d0").id, "virtual", withHash(hash), start);
    declare(conductor, "1.1.0", { storage: { minRead: 1, maxRead: 2, writes: 2 } });
    expect(check(conductor).layout.schemas).toEqual([{ schema: 1, devices: 1, outcome: "migrated", oneWayFrom: ["1.0.0"] }]);
  });

  test("a migration that combines changes is refused, unless overridden with a reason", () => {
    const conductor = fleet({ d0: { version: "1.0.0" } });
    const counted = image({ version: "1.1.0", securityCounter: 1 });
    register(conductor, image({ version: "1.0.0" }), "1.0.0");
    const storage = { minRead: 1, maxRead: 3, writes: 3 };
    expect(() => register(conductor, counted, "1.1.0", [key], { storage })).toThrow(
      /is a migration and combines 3 changes: storage schema 1 becomes 3; devices with schema 1 would go to 3 in one step; security counter 0 of 1\.0\.0 becomes 1; make a release of each/,
    );
    register(conductor, counted, "1.1.0", [key], { storage, override: true });
    const input = { id: "1.1.1", artifacts: [{ variant, bytes: counted }], override: true, authority: { by: "ada", reason: "" } };
    expect(() => inspectRelease(conductor, input, [key])).toThrow(/an override needs a reason/);
  });

  test("a device with another partition map is refused, and both maps are named", () => {
    const conductor = fleet({ d0: {}, d1: { partitionMap: "pm2" } });
    declare(conductor, "1.1.0", {});
    expect(check(conductor).devices[1]).toMatchObject({ code: "partition-map", reasons: ["its partition map is pm2, and release 1.1.0 has nrf52840dk revA for pm1"] });
    expect(check(conductor).layout.partitionMaps.map(({ partitionMap, fits }) => [partitionMap, fits])).toEqual([["pm1", true], ["pm2", false]]);
    const wrong = { id: "1.2.0", artifacts: [{ variant: { ...variant, partitionMap: "pm3" }, bytes: image({ version: "1.2.0" }) }], authority: operator };
    createRelease(conductor, wrong, inspectRelease(conductor, wrong, [key]), start);
    expect(check(conductor, "1.2.0")).toMatchObject({ installable: 0, refused: 2, layout: { migration: true, changes: [{ what: "nrf52840dk revA has partition map pm1, pm2, the artifact is for pm3" }] } });
  });
});

describe("a rollout and preflight", () => {
  test("devices that fail it are left out, and each knows why until another rollout takes it in", () => {
    const conductor = fleet({ d0: {}, d1: { version: "1.1.0" }, d2: { version: "1.1.0" }, d3: {} });
    declare(conductor, "1.2.0", { from: [{ min: "1.1.0" }] });
    const first = startOf(conductor, "1.2.0");
    const why = { rollout: "r1", release: "1.2.0", reason: "it runs 1.0.0, and release 1.2.0 installs over from 1.1.0 only" };
    expect(conductor.state.devices.get("d0" as never)?.excluded).toEqual(why);
    expect(conductor.state.devices.get("d1" as never)?.excluded).toBe(null);
    const again = new Conductor(boundJudge);
    again.report(new Speaker("d0").id, "virtual", new Speaker("d0").hello(), start);
    first.outcome.entries.filter((entry) => entry.type === "rollout-started").forEach((entry) => again.fold(entry));
    expect(again.state.devices.get("d0" as never)?.excluded).toEqual(why);
    declare(conductor, "1.1.0", {});
    startOf(conductor, "1.1.0", ["d0", "d3"]);
    expect(conductor.state.devices.get("d0" as never)?.excluded).toBe(null);
  });

  test("a member that says before its offer that it has become another device is taken out, and a replay agrees", () => {
    const conductor = new Conductor(boundJudge);
    const entries = [];
    const speakers = ["d0", "d1", "d2"].map((id) => new Speaker(id));
    for (const speaker of speakers) {
      entries.push(...conductor.report(speaker.id, "virtual", speaker.hello(), start).entries);
    }
    const input = { id: "1.1.0", artifacts: [{ variant, bytes: image() }], authority: operator };
    entries.push(...createRelease(conductor, input, inspectRelease(conductor, input, [key]), start).entries);
    entries.push(...startOf(conductor, "1.1.0").outcome.entries);
    const rollout = conductor.rollout("r1" as never);
    const later = rollout.members.filter((member) => member.stage === 1).map((member) => member.device);
    const speaker = speakers.find((one) => one.id === later[0]) as Speaker;
    speaker.reboot();
    const hello = speaker.hello();
    const moved: Report = { ...hello, body: { ...(hello.body as Hello), hardware: { board: "nrf52840dk", revision: "revA", partitionMap: "pm9", mode: "swap-move", slotSize: 65_536 } } };
    entries.push(...conductor.report(speaker.id, "virtual", moved, start).entries);
    expect(rollout.members.find((member) => member.device === speaker.id)).toMatchObject({ state: "excused", offer: 0, reason: expect.stringMatching(/^preflight: its partition map is pm9/) });
    expect(replay(entries, boundJudge)).toMatchObject({ ok: true });
  });
});

function withHash(hash: string) {
  const hello = new Speaker("d0").hello();
  return hello.body.kind === "hello" ? { ...hello, body: { ...hello.body, running: { ...hello.body.running, imageHash: Uint8Array.fromHex(hash) } } } : hello;
}
