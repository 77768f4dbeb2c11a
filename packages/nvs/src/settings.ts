// SPDX-License-Identifier: Apache-2.0
// Named settings in NVS as Zephyr's settings subsystem keeps them: a name under one id, its value under another, the largest id in use.
import { CoalmineError } from "@coalmine/core";
import { type Nvs, readAll, readNvs, writeNvs } from "./nvs.ts";
import type { PowerSupply } from "./power.ts";

/** Names have ids above this one, which itself holds the largest of them; values lie `valueOffset` higher. */
export const nameBase = 0x8000;
const valueOffset = 0x4000;
const nothing = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A setting and where its value lies. */
export interface Setting {
  /** NVS id of its name; the value's is `valueOffset` higher. */
  readonly id: number;
  readonly value: Uint8Array;
}

/** All settings that have both a name and a value, by name, out of what `readAll` gave. */
export function settingsIn(all: ReadonlyMap<number, Uint8Array>): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [id, name] of all) {
    const value = isName(id) ? all.get(id + valueOffset) : undefined;
    if (value !== undefined) {
      settings.set(decoder.decode(name), { id, value });
    }
  }
  return settings;
}

/** All settings by name. */
export function readSettings(nvs: Nvs): Map<string, Uint8Array> {
  return new Map([...settingsIn(readAll(nvs))].map(([name, { value }]) => [name, value]));
}

/** Stores a setting: the value first, then its name when it is new. A new setting that power was lost in is as if never written. */
export function saveSetting(nvs: Nvs, power: PowerSupply, name: string, value: Uint8Array): void {
  const ids = nameIds(nvs);
  const known = ids.get(name);
  let id = known;
  if (id === undefined) {
    const taken = new Set(ids.values());
    id = nameBase + 1;
    while (taken.has(id)) {
      id++;
    }
    if (id >= nameBase + valueOffset) {
      throw new CoalmineError("nvs/full", `no id is left for setting ${name}`);
    }
  }
  writeNvs(nvs, power, id + valueOffset, value);
  if (known === undefined) {
    writeNvs(nvs, power, id, encoder.encode(name));
    writeNvs(nvs, power, nameBase, word(Math.max(largestId(nvs), id)));
  }
}

/** Names as bytes: a fleet has the same few on every board. */
const named = new Map<string, Uint8Array>();
const namedMax = 256;

function bytesOf(name: string): Uint8Array {
  let bytes = named.get(name);
  if (bytes === undefined) {
    bytes = encoder.encode(name);
    if (named.size < namedMax) {
      named.set(name, bytes);
    }
  }
  return bytes;
}

/** The NVS entries that settings consist of when they are the first ones of an area. */
export function settingEntries(settings: Iterable<readonly [name: string, value: Uint8Array]>): [id: number, data: Uint8Array][] {
  const entries: [number, Uint8Array][] = [];
  let id = nameBase;
  for (const [name, value] of settings) {
    id++;
    entries.push([id + valueOffset, value], [id, bytesOf(name)]);
  }
  entries.push([nameBase, word(id)]);
  return entries;
}

/** Replaces the value of a setting that is there. */
export function replaceSetting(nvs: Nvs, power: PowerSupply, setting: Setting, value: Uint8Array): void {
  writeNvs(nvs, power, setting.id + valueOffset, value);
}

/** Removes a setting, its name first: a value without a name is no setting. */
export function deleteSetting(nvs: Nvs, power: PowerSupply, name: string): void {
  const id = nameIds(nvs).get(name);
  if (id !== undefined) {
    writeNvs(nvs, power, id, nothing);
    writeNvs(nvs, power, id + valueOffset, nothing);
  }
}

function nameIds(nvs: Nvs): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, data] of readAll(nvs)) {
    if (isName(id)) {
      ids.set(decoder.decode(data), id);
    }
  }
  return ids;
}

function isName(id: number): boolean {
  return id > nameBase && id < nameBase + valueOffset;
}

function largestId(nvs: Nvs): number {
  const bytes = readNvs(nvs, nameBase);
  return bytes === undefined ? nameBase : (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
}

function word(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8);
}
