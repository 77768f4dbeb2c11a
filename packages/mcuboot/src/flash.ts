// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { AreaSpec, FlashArea, FlashGeometry } from "./geometry.ts";
import { layOut, sectorAt } from "./geometry.ts";
import type { Sector } from "./sector-pool.ts";
import { SectorPool } from "./sector-pool.ts";

// F1. A sector's shared bytes are never written: the first partial write gives the device its own copy.
// F2. Outside a run of the bootloader or of an application call, every sector is interned (`settle`).
// F3. Operation N is one write call or one sector erase, counted from the last `arm`; a cut before N leaves N-1 of them done.

/** Flash work, counted as the recorded vectors count it. Sizes in bytes. */
export interface FlashOps {
  readonly total: number;
  readonly writes: number;
  readonly erases: number;
  readonly bytesWritten: number;
  readonly bytesErased: number;
  /** Bytes programmed a second time with another value since their erase: harmless on flash that ANDs, an error on flash with ECC. */
  readonly rewrites: number;
  /** Writes refused because offset or length was not aligned, or outside the area. */
  readonly misaligned: number;
}

/** Where power is lost: before the N-th operation, or (`torn`) half way through it. */
export interface PowerCutPlan {
  readonly cutBefore?: number | undefined;
  readonly torn?: boolean | undefined;
}

/** One flash operation: a write call, or the erase of one sector. Offset within the area, length in bytes. */
export interface FlashOperation {
  readonly kind: "write" | "erase";
  readonly area: FlashArea;
  readonly off: number;
  readonly len: number;
  /** What a write programs; a view, valid only during the call. */
  readonly data?: Uint8Array;
}

/** Unwinds the bootloader when the power is lost; never leaves this package. */
export class PowerCut extends Error {
  /** The operation that was not, or not wholly, carried out. */
  readonly operation: FlashOperation;

  constructor(operation: FlashOperation) {
    super("power cut");
    this.operation = operation;
  }
}

const COPY_CHUNK = 1024;

/**
 * The flash of one device: areas over copy-on-write sectors whose unchanged contents are shared between devices.
 *
 * Writing clears bits (AND) and must be aligned; erasing sets a sector to 0xff. Reads outside an area give nothing.
 */
export class Flash {
  readonly geometry: FlashGeometry;
  readonly pool: SectorPool;
  readonly #sectors: Sector[];
  /** Own copies of sectors changed since `settle`, by sector index. */
  readonly #own = new Map<number, Uint8Array>();
  /** Which bytes were programmed since `settle`: all, or a mask. */
  readonly #programmed = new Map<number, true | Uint8Array>();
  #writes = 0;
  #erases = 0;
  #bytesWritten = 0;
  #bytesErased = 0;
  #rewrites = 0;
  #misaligned = 0;
  #cutAt = Infinity;
  #torn = false;
  #observer: ((operation: FlashOperation) => void) | undefined;

  private constructor(geometry: FlashGeometry, pool: SectorPool, sectors: Sector[]) {
    this.geometry = geometry;
    this.pool = pool;
    this.#sectors = sectors;
  }

  /** An erased flash, or one filled from a flat dump (bytes outside all areas are ignored, missing ones are 0xff). */
  static create(areas: readonly AreaSpec[] | FlashGeometry, options: { pool?: SectorPool | undefined; dump?: Uint8Array | undefined } = {}): Flash {
    const geometry = "areas" in areas ? areas : layOut(areas);
    const pool = options.pool ?? new SectorPool();
    const sectors = geometry.areas.flatMap((area) =>
      area.sectorSize.map((size, i) => {
        const begin = area.off + (area.sectorOff[i] ?? 0);
        const { dump } = options;
        if (dump === undefined || begin >= dump.length) {
          return pool.erased(size);
        }
        const bytes = new Uint8Array(size).fill(0xff);
        bytes.set(dump.subarray(begin, Math.min(begin + size, dump.length)));
        return pool.intern(bytes);
      }),
    );
    return new Flash(geometry, pool, sectors);
  }

  /** Another device with the same contents; the bytes are shared until one of them writes. */
  clone(): Flash {
    this.settle();
    return new Flash(this.geometry, this.pool, [...this.#sectors]);
  }

  /** The area of this name or id. @throws CoalmineError `mcuboot/no-such-area`. */
  area(which: string | number): FlashArea {
    const found = this.findArea(which);
    if (found === undefined) {
      throw new CoalmineError(
        "mcuboot/no-such-area",
        `no flash area ${JSON.stringify(which)}; there are ${this.geometry.areas.map((area) => `${area.name} (${area.id})`).join(", ")}`,
      );
    }
    return found;
  }

  findArea(which: string | number): FlashArea | undefined {
    return this.geometry.areas.find((area) => (typeof which === "string" ? area.name === which : area.id === which));
  }

  /** Bytes of an area, possibly a view of shared bytes: do not write to the result. Nothing when the range leaves the area. */
  read(area: FlashArea, off: number, len: number): Uint8Array | undefined {
    if (off < 0 || len < 0 || off + len > area.size) {
      return undefined;
    }
    let index = sectorAt(area, Math.min(off, area.size - 1));
    const within = off - (area.sectorOff[index] ?? 0);
    const first = this.#bytes(area.firstSector + index);
    if (within + len <= first.length) {
      return first.subarray(within, within + len);
    }
    const out = new Uint8Array(len);
    let from = within;
    for (let done = 0; done < len; index++) {
      const bytes = this.#bytes(area.firstSector + index);
      const part = bytes.subarray(from, Math.min(bytes.length, from + len - done));
      out.set(part, done);
      done += part.length;
      from = 0;
    }
    return out;
  }

  /** One write operation. False when it is refused: not aligned in offset and length, or outside the area. */
  write(area: FlashArea, off: number, data: Uint8Array): boolean {
    if (off < 0 || off + data.length > area.size || off % area.align !== 0 || data.length % area.align !== 0) {
      this.#misaligned++;
      return false;
    }
    if (this.#due()) {
      if (this.#torn) {
        const half = Math.floor(data.length / 2 / area.align) * area.align;
        this.#program(area, off, data.subarray(0, half));
      }
      throw new PowerCut({ kind: "write", area, off, len: data.length });
    }
    this.#observer?.({ kind: "write", area, off, len: data.length, data });
    this.#writes++;
    this.#bytesWritten += data.length;
    this.#program(area, off, data);
    return true;
  }

  /** One erase operation: the sector of this index within the area. */
  eraseSector(area: FlashArea, index: number): void {
    const at = area.firstSector + index;
    const size = area.sectorSize[index] ?? 0;
    if (this.#due()) {
      if (this.#torn) {
        const bytes = this.#writable(at);
        bytes.fill(0xff, 0, size / 2);
      }
      throw new PowerCut({ kind: "erase", area, off: area.sectorOff[index] ?? 0, len: size });
    }
    this.#observer?.({ kind: "erase", area, off: area.sectorOff[index] ?? 0, len: size });
    this.#erases++;
    this.#bytesErased += size;
    this.#own.delete(at);
    this.#programmed.delete(at);
    this.#sectors[at] = this.pool.erased(size);
  }

  /**
   * Copies bytes between areas in chunks of 1024, each one write operation. False when a read leaves the source or a write is refused.
   *
   * A whole sector copied onto an erased one ends as a reference to the source's contents.
   */
  copy(from: FlashArea, fromOff: number, to: FlashArea, toOff: number, size: number): boolean {
    for (let done = 0; done < size; ) {
      const shared = this.#shareSector(from, fromOff + done, to, toOff + done, size - done);
      if (shared > 0) {
        done += shared;
        continue;
      }
      const chunk = Math.min(COPY_CHUNK, size - done);
      const data = this.read(from, fromOff + done, chunk);
      if (data === undefined || !this.write(to, toOff + done, data)) {
        return false;
      }
      done += chunk;
    }
    return true;
  }

  /** Counts since this object was made. */
  get ops(): FlashOps {
    return {
      total: this.#writes + this.#erases,
      writes: this.#writes,
      erases: this.#erases,
      bytesWritten: this.#bytesWritten,
      bytesErased: this.#bytesErased,
      rewrites: this.#rewrites,
      misaligned: this.#misaligned,
    };
  }

  /** Plans a power cut for the operations from now on; without a plan, none happens. */
  arm(plan: PowerCutPlan = {}): void {
    this.#cutAt = plan.cutBefore === undefined ? Infinity : this.#writes + this.#erases + plan.cutBefore;
    this.#torn = plan.torn ?? false;
  }

  /** Tells of every operation before it is carried out, until called without a function. Copies then take the byte path. */
  observe(observer?: (operation: FlashOperation) => void): void {
    this.#observer = observer;
  }

  /** Interns every changed sector. Called at the end of each run, so that equal devices share again. */
  settle(): void {
    for (const [at, bytes] of this.#own) {
      this.#sectors[at] = this.pool.intern(bytes);
    }
    this.#own.clear();
    this.#programmed.clear();
  }

  /** The contents as shared sectors, area by area. The array is a copy. */
  snapshot(): readonly Sector[] {
    this.settle();
    return [...this.#sectors];
  }

  /** Ids of `snapshot()`, in one text: equal exactly when the contents are. */
  identity(): string {
    this.settle();
    let text = "";
    for (const sector of this.#sectors) {
      text += `${sector.id},`;
    }
    return text;
  }

  /** Identifies the bytes of a range within this pool; nothing when a sector of it was changed and not interned yet. */
  rangeIdentity(area: FlashArea, off: number, len: number): string | undefined {
    if (off < 0 || len <= 0 || off + len > area.size) {
      return undefined;
    }
    const first = sectorAt(area, off);
    let text = `${off - (area.sectorOff[first] ?? 0)}+${len}:`;
    for (let index = first; index < area.sectorOff.length && (area.sectorOff[index] ?? 0) < off + len; index++) {
      if (this.#own.has(area.firstSector + index)) {
        return undefined;
      }
      text += `${this.#sectors[area.firstSector + index]?.id ?? 0},`;
    }
    return text;
  }

  /** Replaces the contents by those of a snapshot of the same geometry. No operation is counted. */
  restore(sectors: readonly Sector[]): void {
    if (sectors.length !== this.#sectors.length) {
      throw new Error(`restore: ${sectors.length} sectors into a flash of ${this.#sectors.length}`);
    }
    this.#own.clear();
    this.#programmed.clear();
    for (const [i, sector] of sectors.entries()) {
      this.#sectors[i] = sector;
    }
  }

  /** Sets an area to `image` written from byte `off` into erased flash, sharing its bytes: an upload by tool. No operation is counted. */
  install(which: string | number, image: Uint8Array, off = 0): void {
    const area = this.area(which);
    if (off < 0 || off + image.length > area.size) {
      throw new CoalmineError("mcuboot/image-too-large", `${image.length} bytes from ${off} do not fit flash area ${area.name} of ${area.size} bytes`);
    }
    const sectors = this.pool.place(image, area.sectorSize, off);
    for (const [i, sector] of sectors.entries()) {
      this.#own.delete(area.firstSector + i);
      this.#programmed.delete(area.firstSector + i);
      this.#sectors[area.firstSector + i] = sector;
    }
  }

  /** Erases a whole area outside any counted run. */
  wipe(which: string | number): void {
    this.install(which, EMPTY);
  }

  /** Replaces bytes regardless of erase state: damage, or a test's doing. No operation is counted. */
  poke(which: string | number, off: number, bytes: Uint8Array): void {
    const area = this.area(which);
    if (off < 0 || off + bytes.length > area.size) {
      throw new CoalmineError("mcuboot/out-of-range", `bytes ${off}..${off + bytes.length} leave flash area ${area.name} of ${area.size} bytes`);
    }
    this.#eachPart(area, off, bytes, (target, at, part) => this.#writable(target).set(part, at));
    this.settle();
  }

  /** A flat dump; bytes outside all areas are 0xff. */
  dump(): Uint8Array {
    const out = new Uint8Array(this.geometry.size).fill(0xff);
    for (const area of this.geometry.areas) {
      for (const [i, off] of area.sectorOff.entries()) {
        out.set(this.#bytes(area.firstSector + i), area.off + off);
      }
    }
    return out;
  }

  #bytes(at: number): Uint8Array {
    return this.#own.get(at) ?? this.#sectors[at]?.bytes ?? EMPTY;
  }

  #writable(at: number): Uint8Array {
    let bytes = this.#own.get(at);
    if (bytes === undefined) {
      bytes = this.#bytes(at).slice();
      this.#own.set(at, bytes);
    }
    return bytes;
  }

  /** True when the next operation is the one that power is lost at. */
  #due(): boolean {
    return this.#writes + this.#erases + 1 >= this.#cutAt;
  }

  #program(area: FlashArea, off: number, data: Uint8Array): void {
    this.#eachPart(area, off, data, (target, at, part) => {
      const bytes = this.#writable(target);
      let mask = this.#programmed.get(target);
      if (mask === undefined) {
        mask = new Uint8Array(bytes.length);
        this.#programmed.set(target, mask);
      }
      for (let i = 0; i < part.length; i++) {
        const old = bytes[at + i] ?? 0xff;
        const value = part[i] ?? 0xff;
        if (value !== old && (old !== 0xff || mask === true || mask[at + i] === 1)) {
          this.#rewrites++;
        }
        bytes[at + i] = old & value;
      }
      if (mask !== true) {
        mask.fill(1, at, at + part.length);
      }
    });
  }

  #eachPart(area: FlashArea, off: number, data: Uint8Array, visit: (sector: number, at: number, part: Uint8Array) => void): void {
    for (let done = 0; done < data.length; ) {
      const index = sectorAt(area, off + done);
      const at = off + done - (area.sectorOff[index] ?? 0);
      const part = data.subarray(done, Math.min(data.length, done + (area.sectorSize[index] ?? 0) - at));
      visit(area.firstSector + index, at, part);
      done += part.length;
    }
  }

  /** Copies one whole sector by reference when that is what the chunked copy would amount to; the bytes copied, or 0. */
  #shareSector(from: FlashArea, fromOff: number, to: FlashArea, toOff: number, size: number): number {
    const source = sectorAt(from, fromOff);
    const target = sectorAt(to, toOff);
    const length = to.sectorSize[target] ?? 0;
    const sourceAt = from.firstSector + source;
    const targetAt = to.firstSector + target;
    if (
      this.#observer !== undefined ||
      source < 0 ||
      target < 0 ||
      size < length ||
      from.sectorOff[source] !== fromOff ||
      to.sectorOff[target] !== toOff ||
      from.sectorSize[source] !== length ||
      (length % COPY_CHUNK !== 0 && size !== length) ||
      length % to.align !== 0 ||
      COPY_CHUNK % to.align !== 0 ||
      this.#own.has(sourceAt) ||
      this.#own.has(targetAt) ||
      this.#sectors[targetAt] !== this.pool.erased(length)
    ) {
      return 0;
    }
    const writes = Math.ceil(length / COPY_CHUNK);
    if (this.#writes + this.#erases + writes >= this.#cutAt) {
      return 0;
    }
    this.#writes += writes;
    this.#bytesWritten += length;
    const shared = this.#sectors[sourceAt];
    if (shared !== undefined) {
      this.#sectors[targetAt] = shared;
    }
    this.#programmed.set(targetAt, true);
    return length;
  }
}

const EMPTY = new Uint8Array(0);
