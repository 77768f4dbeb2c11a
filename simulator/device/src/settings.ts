// SPDX-License-Identifier: Apache-2.0
// The application's settings on a board: written at the factory, read at every start, brought to the schema of the running image.
//
// M1. The schema record is written after a step, in one write: until then the step has not happened.
// M2. What only an older schema needs is removed by a confirmed image, after the record says that the older schema is gone.
// M3. An older image that comes back says so in the record, so that the next upgrade migrates what it then has.
import { CoalmineError } from "@coalmine/core";
import { deleteSetting, entryBytes, freeNvs, nvsWith, readAll, readSettings, replaceSetting, saveSetting, type Setting, settingEntries, settingsIn } from "@coalmine/nvs";
import { chance, type Device, findDefect, type Turn } from "./device.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { decodeSchema, encodeSchema, type SchemaRecord } from "./schema-record.ts";
import { RecordKind, storageGeometry, store } from "./storage.ts";
import { type Layout, type Place, plainProgram, type SettingsOperation, type StorageProgram, type ValueName, valueNames } from "./storage-program.ts";

const encoder = new TextEncoder();

/** The running build's storage program and the schema it writes. */
function programOf(device: Device): { readonly own: number; readonly storage: StorageProgram } {
  const program = device.running?.program;
  const own = program?.storageSchema ?? 1;
  return { own, storage: program?.storage ?? plainProgram(own) };
}

/** What the factory gave this board: its id, a key, a calibration, and a counter at zero. */
function factoryValues(device: Device): Readonly<Record<ValueName, Uint8Array>> {
  return {
    identity: encoder.encode(device.description.id),
    credentials: drawn(device, "key", 16),
    calibration: drawn(device, "calibration", 8),
    counter: new Uint8Array(4),
  };
}

/** Bytes of this board's own: one draw, spread by xorshift32 (Marsaglia 2003). */
function drawn(device: Device, name: string, length: number): Uint8Array {
  let state = Math.floor(chance(device, "factory", name) * 2 ** 32) | 1;
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** Writes what the factory writes: the values in the schema of the image that the board leaves with. */
export function manufacture(device: Device): void {
  const { own, storage } = programOf(device);
  const values = factoryValues(device);
  const settings = valueNames.flatMap((name) => placed(storage.layout[name], values[name]));
  const made = nvsWith(storageGeometry, [[RecordKind.schema, encodeSchema({ oldest: own, newest: own, kept: own })], ...settingEntries(settings)]);
  made.sectors.forEach((sector, i) => (device.storage.sectors[i] = sector));
}

/** A value as the settings of its place; of several names the last takes what is left. */
function placed({ names, as }: Place, value: Uint8Array): [string, Uint8Array][] {
  const stored = as === "hex" ? encoder.encode(value.toHex()) : value;
  const each = Math.floor(stored.length / names.length);
  return names.map((name, i) => [name, stored.subarray(i * each, i + 1 === names.length ? undefined : (i + 1) * each)]);
}

function taken({ names, as }: Place, settings: ReadonlyMap<string, Setting>): Uint8Array | undefined {
  const parts = names.map((name) => settings.get(name)?.value);
  if (parts.some((part) => part === undefined)) {
    return undefined;
  }
  const stored = parts.length === 1 ? (parts[0] as Uint8Array) : Uint8Array.from(parts.flatMap((part) => [...(part as Uint8Array)]));
  if (as === "bytes") {
    return stored;
  }
  const text = new TextDecoder().decode(stored);
  return /^(?:[0-9a-f]{2})*$/.test(text) ? Uint8Array.fromHex(text) : undefined;
}

/** The values as a layout finds them; undefined where something is missing. */
function readValues(settings: ReadonlyMap<string, Setting>, layout: Layout): Record<ValueName, Uint8Array | undefined> {
  return {
    identity: taken(layout.identity, settings),
    credentials: taken(layout.credentials, settings),
    calibration: taken(layout.calibration, settings),
    counter: taken(layout.counter, settings),
  };
}

/**
 * Brings the stored settings to the schema of the running image and reads them (`coalmine_schema_open`). A board whose identity or
 * credentials are gone cannot speak: it is mute, whatever runs on it.
 */
export function openSettings(turn: Turn, records: ReadonlyMap<number, Uint8Array>): void {
  const { device } = turn;
  const { storage } = programOf(device);
  const said = records.get(RecordKind.schema);
  const stored = said === undefined ? { oldest: storage.first, newest: storage.first, kept: storage.first } : decodeSchema(said);
  const losesIdentity = findDefect(device, "migration-loss") !== undefined;
  if (losesIdentity) {
    storage.layout.identity.names.forEach((name) => deleteSetting(device.storage, device.power, name));
  }
  let record: SchemaRecord | undefined;
  // Without room for the new values the image runs without settings; the older image still has its own.
  unlessFull(() => (record = migrate(device, stored)));
  device.schema = record ?? stored;
  device.storageSchema = device.schema.newest;
  // As a rule nothing had to be done, and the settings are those that the start found.
  const settings = settingsIn(record === stored && !losesIdentity ? records : readAll(device.storage));
  device.identityLost = record === undefined || !isIntact(device, readValues(settings, storage.layout));
  const counted = settings.get(storage.layout.counter.names[0] ?? "");
  if (record !== undefined && counted !== undefined && storage.layout.counter.as === "bytes" && counted.value.length === 4) {
    // The application counts its starts: settings change while an image runs.
    const counter = new ByteWriter().u32(new ByteReader(counted.value).u32() + 1).done();
    unlessFull(() => replaceSetting(device.storage, device.power, counted, counter));
  }
}

/** Goes from the stored schemas to the running image's. Undefined when it cannot read what is stored, and leaves that alone. */
function migrate(device: Device, stored: SchemaRecord): SchemaRecord | undefined {
  const { own, storage } = programOf(device);
  let record = stored;
  if (own < record.oldest || record.newest < storage.first) {
    if (storage.unreadable === "leave") {
      return undefined;
    }
    for (const name of readSettings(device.storage).keys()) {
      deleteSetting(device.storage, device.power, name);
    }
    record = { oldest: own, newest: own, kept: own };
    saveRecord(device, record);
  } else if (own < record.newest) {
    record = { ...record, newest: own };
    saveRecord(device, record);
  }
  while (record.newest < own) {
    const next = { ...record, newest: record.newest + 1 };
    storage.steps[record.newest - storage.first]?.apply.forEach((operation) => carryOut(device, operation, next));
    record = next;
    saveRecord(device, record);
  }
  return record;
}

function isIntact(device: Device, { identity, credentials }: Record<ValueName, Uint8Array | undefined>): boolean {
  return same(identity, encoder.encode(device.description.id)) && same(credentials, drawn(device, "key", 16));
}

/** Removes what only older schemas need, once the running image is confirmed (`coalmine_schema_retire`). */
export function retireSettings(device: Device): void {
  const { own, storage } = programOf(device);
  const record = device.schema;
  if (record === null || record.newest !== own || record.kept >= own) {
    return;
  }
  unlessFull(() => retire(device, record, own, storage));
}

function retire(device: Device, stored: SchemaRecord, own: number, storage: StorageProgram): void {
  let record = stored;
  if (record.oldest < own) {
    record = { ...record, oldest: own };
    saveRecord(device, record);
  }
  for (let schema = Math.max(record.kept, storage.first); schema < own; schema++) {
    storage.steps[schema - storage.first]?.retire.forEach((operation) => carryOut(device, operation, record));
  }
  record = { ...record, kept: own };
  saveRecord(device, record);
  device.schema = record;
}

function saveRecord(device: Device, record: SchemaRecord): void {
  store(device.storage, device.power, RecordKind.schema, encodeSchema(record));
}

/** What does not fit is left undone: the next start tries again. */
function unlessFull(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof CoalmineError && error.code === "nvs/full")) {
      throw error;
    }
  }
}

function carryOut(device: Device, operation: SettingsOperation, next: SchemaRecord): void {
  const { storage, power } = device;
  const value = "from" in operation ? readSettings(storage).get(operation.from)?.slice() : undefined;
  switch (operation.kind) {
    case "copy":
    case "move":
      if (value !== undefined) {
        if (operation.kind === "move" && operation.deleteFirst === true) {
          deleteSetting(storage, power, operation.from);
        }
        save(device, operation.to, converted(value, operation.as));
        if (operation.kind === "move" && operation.deleteFirst !== true) {
          deleteSetting(storage, power, operation.from);
        }
      }
      break;
    case "split":
      if (value !== undefined) {
        save(device, operation.to[0], value.subarray(0, operation.at));
        save(device, operation.to[1], value.subarray(operation.at));
      }
      break;
    case "delete":
      deleteSetting(storage, power, operation.name);
      break;
    case "commit":
      saveRecord(device, next);
      break;
  }
}

/** Bytes of the storage that an application leaves to the library's records: without an attempt record no update can be told of. */
const libraryRoom = 384;

/** Saves a setting of the application. Throws `nvs/full` when that would take the library's room. */
function save(device: Device, name: string, value: Uint8Array): void {
  const needed = value.length + name.length + 2 * entryBytes;
  if (freeNvs(device.storage) - needed < libraryRoom) {
    throw new CoalmineError("nvs/full", `no room for setting ${name}: ${libraryRoom} bytes are kept for the library`);
  }
  saveSetting(device.storage, device.power, name, value);
}

function converted(value: Uint8Array, as: "bytes" | "hex" | undefined): Uint8Array {
  if (as === "hex") {
    return encoder.encode(value.toHex());
  }
  const text = as === "bytes" ? new TextDecoder().decode(value) : "";
  return as === "bytes" && /^(?:[0-9a-f]{2})+$/.test(text) ? Uint8Array.fromHex(text) : value;
}

function same(a: Uint8Array | undefined, b: Uint8Array): boolean {
  if (a === undefined || a.length !== b.length) {
    return false;
  }
  for (let i = 0; i < b.length; i++) {
    if (a[i] !== b[i]) {
      return false;
    }
  }
  return true;
}

/** What became of a value: as the factory wrote it (a counter: still counting), another one, or gone. */
export type ValueFate = "kept" | "changed" | "lost";

/** What the running image finds of its settings. For tests and the migration lab. */
export function lookAtSettings(device: Device): { readonly fates: Readonly<Record<ValueName, ValueFate>>; readonly counter: number } {
  const values = readValues(settingsIn(readAll(device.storage)), programOf(device).storage.layout);
  const truth = factoryValues(device);
  const { counter } = values;
  const count = counter?.length === 4 ? new ByteReader(counter).u32() : 0;
  const fate = (name: ValueName): ValueFate => (values[name] === undefined ? "lost" : same(values[name], truth[name]) ? "kept" : "changed");
  return {
    fates: {
      identity: fate("identity"),
      credentials: fate("credentials"),
      calibration: fate("calibration"),
      counter: counter === undefined ? "lost" : count > 0 ? "kept" : "changed",
    },
    counter: count,
  };
}
