// SPDX-License-Identifier: Apache-2.0
// The slots of a board as a value shared by every board with the same contents.
//
// F1. A state never changes: each operation of bootloader or application gives another state.
// F2. Equal contents of one hardware kind are one object, so what an operation leads to is worked out once and then
//     looked up; the work itself is always done by packages/mcuboot over real flash contents.
// F3. A power cut takes the same path through packages/mcuboot, never the looked-up one.
import {
  BootMemo,
  type BootResult,
  Flash,
  formatVersion,
  keepsRollbackImage,
  modeFacts,
  parseImage,
  readTrailer,
  type Sector,
  SectorPool,
  setConfirmed,
  setNext,
  setPending,
  swapBackWorks,
  swapType,
  uploadOffset,
} from "@coalmine/mcuboot";
import type { FactoryImage, HardwareKind } from "./description.ts";
import { readProgram, type SimProgram } from "./program.ts";

/** An intact image in a slot. */
export interface SlotImage {
  readonly imageHash: Uint8Array;
  /** The same in hex. */
  readonly hash: string;
  readonly version: string;
  readonly program: SimProgram | undefined;
  /** Build id in bytes: the program's, or the head of the image hash when there is no program. */
  readonly buildId: Uint8Array;
}

export type SlotName = "primary" | "secondary";

export interface BootStep {
  readonly result: BootResult;
  readonly state: FlashState;
}

export interface CallStep {
  /** `cut`: power was lost inside the call. */
  readonly outcome: "done" | "cut";
  readonly rc: number;
  readonly operations: number;
  readonly state: FlashState;
}

export class FlashState {
  readonly kind: HardwareKind;
  readonly sectors: readonly Sector[];
  readonly #library: FlashLibrary;
  /** Steps already worked out from here, by name. */
  readonly #steps = new Map<string, unknown>();
  readonly #images: Record<SlotName, SlotImage | null | undefined> = { primary: undefined, secondary: undefined };
  readonly #confirmed: Record<SlotName, boolean | undefined> = { primary: undefined, secondary: undefined };

  constructor(library: FlashLibrary, kind: HardwareKind, sectors: readonly Sector[]) {
    this.#library = library;
    this.kind = kind;
    this.sectors = sectors;
  }

  /** One run of the bootloader; `cutBefore` loses power before that flash operation. */
  boot(cutBefore?: number): BootStep {
    if (cutBefore !== undefined) {
      return this.#library.work(this, (flash) => this.#library.memo.boot(this.kind.bootloader, flash, { cutBefore }));
    }
    return this.#once("boot", () => this.#library.work(this, (flash) => this.#library.memo.boot(this.kind.bootloader, flash)));
  }

  /** Asks for a test of the image in the other slot. `cutBefore`: power is lost before that operation of the call. */
  setPending(running: SlotName, cutBefore?: number): CallStep {
    const { bootloader } = this.kind;
    return this.#call(`pending ${running}`, cutBefore, (flash, plan) =>
      bootloader.mode === "direct-xip"
        ? setNext(bootloader, flash, { area: otherSlot(running), active: false, confirm: false }, plan)
        : setPending(bootloader, flash, { permanent: false }, plan),
    );
  }

  /** Makes the running image permanent. */
  setConfirmed(running: SlotName, cutBefore?: number): CallStep {
    const { bootloader } = this.kind;
    return this.#call(`confirm ${running}`, cutBefore, (flash, plan) =>
      bootloader.mode === "direct-xip"
        ? setNext(bootloader, flash, { area: running, active: true, confirm: true }, plan)
        : setConfirmed(bootloader, flash, {}, plan),
    );
  }

  /** Erases a slot. */
  wipe(slot: SlotName): FlashState {
    return this.#once(`wipe ${slot}`, () => this.#library.work(this, (flash) => flash.wipe(slot)).state);
  }

  /** The slot erased, then `image` written into it from where this mode wants an upload. `name` identifies the bytes; without it nothing is remembered. */
  install(slot: SlotName, image: Uint8Array, name?: string): FlashState {
    const work = (): FlashState => this.#library.work(this, (flash) => flash.install(slot, image, this.#uploadOffset(slot))).state;
    return name === undefined ? work() : this.#once(`install ${slot} ${name}`, work);
  }

  /** How many bytes of an upload of `size` lie in a slot: up to the last programmed byte. */
  written(slot: SlotName, size: number): number {
    return this.#library.work(this, (flash) => {
      const bytes = flash.read(flash.area(slot), this.#uploadOffset(slot), size);
      let length = bytes?.length ?? 0;
      while (length > 0 && bytes?.[length - 1] === 0xff) {
        length--;
      }
      return length;
    }).result;
  }

  /** The intact image in a slot, or null. Intact: it parses and its hash is right; the bootloader also checks the signature. */
  image(slot: SlotName): SlotImage | null {
    let image = this.#images[slot];
    if (image === undefined) {
      image = this.#library.work(this, (flash) => this.#library.readImage(flash, slot, this.#uploadOffset(slot))).result;
      this.#images[slot] = image;
    }
    return image;
  }

  /** False while the bootloader would undo the running image at the next boot, or waits for its confirmation. Asked at every heartbeat. */
  isConfirmed(running: SlotName): boolean {
    return (this.#confirmed[running] ??= this.#library.work(this, (flash) => {
      const { bootloader } = this.kind;
      if (!modeFacts(bootloader).revertWorks) {
        return true;
      }
      const trailer = readTrailer(bootloader, flash, flash.area(running));
      return trailer.magic === "unset" || trailer.imageOk === "set";
    }).result);
  }

  /** What the bootloader will do at the next boot. */
  get swapType(): ReturnType<typeof swapType> {
    return this.#once("swap type", () => this.#library.work(this, (flash) => swapType(this.kind.bootloader, flash)).result);
  }

  /** Looks at the contents; `look` must change nothing. */
  look<T>(look: (flash: Flash) => T): T {
    return this.#library.work(this, look).result;
  }

  #uploadOffset(slot: SlotName): number {
    return slot === "secondary" ? this.#library.uploadOffset(this.kind) : 0;
  }

  #call(name: string, cutBefore: number | undefined, call: (flash: Flash, plan: { cutBefore?: number }) => ReturnType<typeof setPending>): CallStep {
    const run = (): CallStep => {
      const { result, state } = this.#library.work(this, (flash) => call(flash, cutBefore === undefined ? {} : { cutBefore }));
      return { outcome: result.outcome, rc: result.rc, operations: result.ops.total, state };
    };
    return cutBefore === undefined ? this.#once(name, run) : run();
  }

  #once<T>(name: string, work: () => T): T {
    const known = this.#steps.get(name);
    if (known !== undefined) {
      return known as T;
    }
    const made = work();
    this.#steps.set(name, made);
    return made;
  }
}

/** Everything about flash that the boards of one process share: contents, states, and results of boots. */
export class FlashLibrary {
  readonly pool = new SectorPool();
  readonly memo = new BootMemo();
  readonly #states = new Map<HardwareKind, Map<string, WeakRef<FlashState>>>();
  /** One flash per kind, on which operations are worked out. */
  readonly #benches = new Map<HardwareKind, Flash>();
  readonly #factory = new WeakMap<FactoryImage, Map<HardwareKind, FlashState>>();
  readonly #offsets = new Map<HardwareKind, number>();
  readonly #images = new Map<string, SlotImage>();

  /** A board of this kind as it leaves the factory: the image in slot 0, everything else erased. */
  factory(kind: HardwareKind, firmware: FactoryImage): FlashState {
    let byKind = this.#factory.get(firmware);
    if (byKind === undefined) {
      byKind = new Map();
      this.#factory.set(firmware, byKind);
    }
    let state = byKind.get(kind);
    if (state === undefined) {
      const flash = Flash.create(kind.geometry, { pool: this.pool });
      flash.install("primary", firmware.image);
      const { bootloader } = kind;
      if (bootloader.mode === "direct-xip" && bootloader.xipRevert) {
        // Without a trailer that says "confirmed", this bootloader erases what it finds (MCUboot design, direct-XIP with revert).
        setNext(bootloader, flash, { area: "primary", active: true, confirm: true });
      }
      state = this.#intern(kind, flash);
      byKind.set(kind, state);
    }
    return state;
  }

  /** Runs `work` on the contents of a state, and gives its result and the state it left. */
  work<T>(state: FlashState, work: (flash: Flash) => T): { readonly result: T; readonly state: FlashState } {
    const { kind } = state;
    let bench = this.#benches.get(kind);
    if (bench === undefined) {
      bench = Flash.create(kind.geometry, { pool: this.pool });
      this.#benches.set(kind, bench);
    }
    bench.restore(state.sectors);
    const before = bench.ops.total;
    const result = work(bench);
    const after = bench.snapshot();
    const unchanged = bench.ops.total === before && after.every((sector, i) => sector === state.sectors[i]);
    return { result, state: unchanged ? state : this.#intern(kind, bench) };
  }

  uploadOffset(kind: HardwareKind): number {
    let offset = this.#offsets.get(kind);
    if (offset === undefined) {
      offset = uploadOffset(kind.bootloader, kind.geometry);
      this.#offsets.set(kind, offset);
    }
    return offset;
  }

  readImage(flash: Flash, slot: SlotName, uploadedAt: number): SlotImage | null {
    const area = flash.area(slot);
    // After a swap-offset upgrade the old image lies in the first sector, an upload in the second.
    for (const offset of uploadedAt === 0 ? [0] : [uploadedAt, 0]) {
      const bytes = flash.read(area, offset, area.size - offset);
      const parsed = bytes === undefined ? undefined : parseImage(bytes);
      if (bytes === undefined || parsed?.kind !== "image" || parsed.imageHash === undefined) {
        continue;
      }
      const hash = hex(parsed.computedHash);
      if (hex(parsed.imageHash) !== hash) {
        continue;
      }
      let image = this.#images.get(hash);
      if (image === undefined) {
        const program = readProgram(bytes.subarray(parsed.payload.off, parsed.payload.off + parsed.payload.size));
        image = {
          imageHash: parsed.computedHash,
          hash,
          version: shortVersion(formatVersion(parsed.version)),
          program,
          buildId: program === undefined ? parsed.computedHash.slice(0, 16) : Uint8Array.fromHex(program.buildId),
        };
        this.#images.set(hash, image);
      }
      return image;
    }
    return null;
  }

  #intern(kind: HardwareKind, flash: Flash): FlashState {
    const name = flash.identity();
    let states = this.#states.get(kind);
    if (states === undefined) {
      states = new Map();
      this.#states.set(kind, states);
    }
    const known = states.get(name)?.deref();
    if (known !== undefined) {
      return known;
    }
    const state = new FlashState(this, kind, flash.snapshot());
    states.set(name, new WeakRef(state));
    if (states.size % 4096 === 0) {
      for (const [entry, ref] of states) {
        if (ref.deref() === undefined) {
          states.delete(entry);
        }
      }
    }
    return state;
  }
}

export function otherSlot(slot: SlotName): SlotName {
  return slot === "primary" ? "secondary" : "primary";
}

/** True when the kind can go back to the image in its other slot without a download. */
export function canSwapBack(kind: HardwareKind): boolean {
  return keepsRollbackImage(kind.bootloader) && swapBackWorks(kind.bootloader);
}

export function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** `1.2.3+0` is written `1.2.3`, as releases are named. */
function shortVersion(version: string): string {
  return version.endsWith("+0") ? version.slice(0, -2) : version;
}
