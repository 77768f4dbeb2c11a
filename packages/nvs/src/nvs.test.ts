// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { decodeEntry, encodeEntry } from "./entry.ts";
import { blankNvs, checkGeometry, copyNvs, freeNvs, mountNvs, type Nvs, type NvsGeometry, nvsFromBytes, nvsToBytes, nvsWith, readAll, readNvs, writeNvs } from "./nvs.ts";
import { mains, PowerLoss, type PowerSupply } from "./power.ts";
import { deleteSetting, readSettings, saveSetting, settingEntries } from "./settings.ts";

const small: NvsGeometry = { sectorSize: 256, sectorCount: 3, align: 4 };
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function mounted(geometry: NvsGeometry = small): Nvs {
  const nvs = blankNvs(geometry);
  mountNvs(nvs, mains());
  return nvs;
}

/** Reproducible numbers below `n`: a 32-bit linear congruential generator (Numerical Recipes). */
function dice(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** Runs `work`; false when power was lost in it. */
function survives(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (error instanceof PowerLoss) {
      return false;
    }
    throw error;
  }
}

/** Starts again after a loss of power, which may be lost again in the repair, and again. */
function restart(nvs: Nvs, next: () => PowerSupply): Nvs {
  for (;;) {
    const again = copyNvs(nvs);
    if (survives(() => mountNvs(again, next()))) {
      return again;
    }
    nvs = again;
  }
}

describe("on flash", () => {
  test("an entry is eight bytes, little endian, with a CRC-8 of polynomial 7 from 0xff", () => {
    expect(encodeEntry({ id: 0x1234, offset: 0x0056, length: 7 }).toHex()).toBe("341256000700ffdb");
    expect(decodeEntry(Uint8Array.fromHex("341256000700ffdb"))).toEqual({ id: 0x1234, offset: 0x56, length: 7 });
    expect(decodeEntry(Uint8Array.fromHex("341256000700ffda"))).toBe(undefined);
  });

  test("an area that goes on in two ways from one state ends as two, and the state stays what it was", () => {
    const before = mounted();
    writeNvs(before, mains(), 7, text("shared"));
    const bytes = nvsToBytes(before);
    const [one, other] = [copyNvs(before), copyNvs(before)];
    for (let i = 0; i < 40; i += 1) {
      writeNvs(one, mains(), 8, text(`one ${i}`));
      writeNvs(other, mains(), 8, text(`other ${i}`));
    }
    expect(nvsToBytes(before)).toEqual(bytes);
    expect([one, other].map((nvs) => new TextDecoder().decode(readNvs(nvs, 8)))).toEqual(["one 39", "other 39"]);
    expect([one, other].map((nvs) => new TextDecoder().decode(readNvs(nvs, 7)))).toEqual(["shared", "shared"]);
  });

  test("data grows up, entries grow down, the last place stays free for closing", () => {
    const nvs = mounted();
    writeNvs(nvs, mains(), 7, text("abcde"));
    const bytes = nvsToBytes(nvs);
    expect(bytes.subarray(0, 8).toHex()).toBe("6162636465ffffff");
    expect(decodeEntry(bytes, 240)).toEqual({ id: 0xffff, offset: 0, length: 0 });
    expect(decodeEntry(bytes, 232)).toEqual({ id: 7, offset: 0, length: 5 });
    expect(bytes.subarray(248, 256).every((byte) => byte === 0xff)).toBe(true);
  });

  test("what is there already is not written again", () => {
    const nvs = mounted();
    writeNvs(nvs, mains(), 7, text("abc"));
    writeNvs(nvs, mains(), 8, new Uint8Array(0));
    const before = nvsToBytes(nvs);
    writeNvs(nvs, mains(), 7, text("abc"));
    expect(nvsToBytes(nvs)).toEqual(before);
  });

  test("a full log says so, and an id can still be deleted", () => {
    const nvs = mounted();
    const fill = (): void => {
      for (let id = 1; ; id++) {
        writeNvs(nvs, mains(), id, new Uint8Array(40).fill(id));
      }
    };
    expect(freeNvs(nvs)).toBe(2 * 248);
    expect(fill).toThrow(/no room for 40 bytes of id 9: all 3 sectors hold valid data/);
    const left = freeNvs(nvs);
    writeNvs(nvs, mains(), 3, new Uint8Array(0));
    expect(freeNvs(nvs)).toBe(left + 48);
    writeNvs(nvs, mains(), 100, text("fits"));
    expect(readNvs(nvs, 3)).toBe(undefined);
    expect([...readAll(nvs).keys()].sort((a, b) => a - b)).toEqual([1, 2, 4, 5, 6, 7, 8, 100]);
    expect(() => writeNvs(nvs, mains(), 1, new Uint8Array(225))).toThrow(/takes 224 bytes/);
  });

  test("every sector wears alike", () => {
    const nvs = mounted({ ...small, sectorCount: 4 });
    for (let i = 0; i < 2_000; i++) {
      writeNvs(nvs, mains(), i % 3, Uint8Array.of(i & 0xff, i >> 8));
    }
    const wear = nvs.sectors.map((sector) => sector.erases);
    expect(Math.max(...wear) - Math.min(...wear)).toBeLessThanOrEqual(1);
    expect(Math.min(...wear)).toBeGreaterThan(10);
  });

  test("what is no NVS area is told, whatever its bytes", () => {
    expect(() => mountNvs(nvsFromBytes(new Uint8Array(768), small), mains())).toThrow(/every sector is closed/);
    expect(() => nvsFromBytes(new Uint8Array(700), small)).toThrow(/700 bytes are not 3 sectors of 256/);
    expect(() => checkGeometry({ ...small, align: 3 })).toThrow(/no NVS area/);
    const roll = dice(99);
    for (let i = 0; i < 2_000; i++) {
      const bytes = Uint8Array.from({ length: 768 }, () => (roll(3) === 0 ? roll(256) : 0xff));
      const nvs = nvsFromBytes(bytes, small);
      try {
        mountNvs(nvs, mains());
        writeNvs(nvs, mains(), 1, text("x"));
        readAll(nvs);
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^nvs\/(foreign|full)$/);
      }
    }
  });
});

describe("loss of power", () => {
  const areas: readonly NvsGeometry[] = [
    small,
    { sectorSize: 256, sectorCount: 2, align: 1 },
    { sectorSize: 256, sectorCount: 2, align: 2 },
    { sectorSize: 256, sectorCount: 2, align: 8 },
    { sectorSize: 512, sectorCount: 3, align: 16 },
  ];

  test("10,000 random sequences, cut inside any operation, also while repairing: the last acknowledged value is there, or the one being written", () => {
    const counts = { writes: 0, cut: 0, cutAgainInRepair: 0, collected: 0 };
    for (let sequence = 0; sequence < 10_000; sequence++) {
      const roll = dice(sequence + 1);
      let nvs = mounted(areas[sequence % areas.length]);
      const acknowledged = new Map<number, string>();
      const write = (power: PowerSupply): { id: number; value: string; done: boolean } => {
        const id = 1 + roll(3);
        const value = roll(8) === 0 ? "" : `${"v".repeat(roll(24))}${counts.writes++}`;
        return { id, value, done: survives(() => writeNvs(nvs, power, id, text(value))) };
      };
      const read = (id: number): string => new TextDecoder().decode(readNvs(nvs, id) ?? new Uint8Array(0));
      for (let i = roll(3) > 0 ? 0 : roll(24); i > 0; i--) {
        const { id, value } = write(mains());
        acknowledged.set(id, value);
      }
      for (let left = 1 + roll(3); left > 0; ) {
        const { id, value, done } = write({ flashLeft: roll(3) === 0 ? roll(12) : roll(3), torn: roll(101) / 100 });
        if (done) {
          acknowledged.set(id, value);
          continue;
        }
        left--;
        counts.cut++;
        nvs = restart(nvs, () => (roll(3) === 0 && counts.cutAgainInRepair++ >= 0 ? { flashLeft: roll(6), torn: roll(101) / 100 } : mains()));
        for (const [known, last] of acknowledged) {
          const found = read(known);
          if (found !== last && !(known === id && found === value)) {
            expect({ sequence, id: known, found }).toEqual({ sequence, id: known, found: last });
          }
        }
        acknowledged.set(id, read(id));
      }
      counts.collected += nvs.sectors.reduce((sum, sector) => sum + sector.erases, 0);
    }
    console.info(`10000 sequences: ${JSON.stringify(counts)}`);
    expect(counts.cut).toBeGreaterThan(10_000);
    expect(counts.collected).toBeGreaterThan(1_000);
  });

  test("every operation of a write that collects garbage, cut at every write block", () => {
    const before = mounted();
    let n = 0;
    // The next write has to close the sector.
    while (before.entryAt >= before.dataAt + 32) {
      writeNvs(before, mains(), 1 + (n % 4), Uint8Array.of(n++, 1, 2, 3, 4));
    }
    const values = readAll(before);
    let operations = 0;
    for (let cut = 0; ; cut++) {
      const whole = copyNvs(before);
      if (survives(() => writeNvs(whole, { flashLeft: cut }, 9, new Uint8Array(30).fill(9)))) {
        operations = cut;
        break;
      }
      for (let torn = 0; torn < 64; torn++) {
        const nvs = copyNvs(before);
        survives(() => writeNvs(nvs, { flashLeft: cut, torn: torn / 64 }, 9, new Uint8Array(30).fill(9)));
        const again = restart(nvsFromBytes(nvsToBytes(nvs), nvs.geometry), mains);
        for (const [id, value] of values) {
          expect(readNvs(again, id)).toEqual(value);
        }
        expect([undefined, new Uint8Array(30).fill(9)]).toContainEqual(readNvs(again, 9));
      }
    }
    expect(operations).toBeGreaterThan(5);
  });
});

describe("settings", () => {
  test("an area made with its first settings is the one into which they were saved", () => {
    const geometry = { sectorSize: 1024, sectorCount: 3, align: 4 };
    const settings: [string, Uint8Array][] = [["device/id", text("sensor-7")], ["app/period", Uint8Array.of(60, 0)]];
    const made = nvsWith(geometry, [[3, text("abcde")], ...settingEntries(settings)]);
    mountNvs(made, mains());
    const saved = mounted(geometry);
    writeNvs(saved, mains(), 3, text("abcde"));
    settings.forEach(([name, value]) => saveSetting(saved, mains(), name, value));
    expect(readAll(made)).toEqual(readAll(saved));
    expect(readSettings(made)).toEqual(readSettings(saved));
    expect(nvsToBytes(made).subarray(0, 8)).toEqual(nvsToBytes(saved).subarray(0, 8));
    expect(() => nvsWith(small, [[1, new Uint8Array(240)]])).toThrow(/do not fit a sector of 256/);
  });

  test("are read back by name; a new one that power was lost in is as if never written, and its place is used again", () => {
    const nvs = mounted({ sectorSize: 1024, sectorCount: 3, align: 4 });
    saveSetting(nvs, mains(), "device/id", text("sensor-7"));
    saveSetting(nvs, mains(), "app/period", Uint8Array.of(60, 0));
    for (let cut = 0; ; cut++) {
      const again = copyNvs(nvs);
      const done = survives(() => saveSetting(again, { flashLeft: cut }, "app/mode", text("eco")));
      const found = readSettings(restart(again, mains));
      expect(found.get("device/id")).toEqual(text("sensor-7"));
      if (done) {
        expect(found.get("app/mode")).toEqual(text("eco"));
        break;
      }
    }
    deleteSetting(nvs, mains(), "device/id");
    saveSetting(nvs, mains(), "app/mode", text("eco"));
    expect([...readSettings(nvs)].map(([name, value]) => `${name}=${value.toHex()}`).sort()).toEqual(["app/mode=65636f", "app/period=3c00"]);
    expect(readNvs(nvs, 0x8000)).toEqual(Uint8Array.of(2, 0x80));
  });
});
