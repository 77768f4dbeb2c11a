// SPDX-License-Identifier: Apache-2.0
// Enough of ELF (System V ABI, chapters 4 and 5) to name addresses without external tools.

import { Broken } from "./reader.ts";

/** A function or object of a build. */
export interface ElfSymbol {
  readonly name: string;
  readonly start: number;
  readonly size: number;
  readonly kind: "function" | "object";
}

/** Names for addresses, and the code itself where the file has it. */
export interface SymbolTable {
  readonly kind: "symbols";
  readonly symbols: readonly ElfSymbol[];
  /** GNU build id in hex, if noted. */
  readonly buildId: string | null;
  readonly code: readonly { readonly start: number; readonly bytes: Uint8Array }[];
  /** What else the file has of the image's memory: constants, tables, initial values. */
  readonly data: readonly { readonly start: number; readonly bytes: Uint8Array }[];
}

export interface BrokenElf {
  readonly kind: "broken";
  readonly detail: string;
}

/** A function found for an address. */
export interface Located {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

interface Section {
  readonly name: number;
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
const SHT_NOTE = 7;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const EM_ARM = 40;

/** Reads `.symtab`, executable sections and the build id of an ELF file of 32 or 64 bits. */
export function readSymbols(file: Uint8Array): SymbolTable | BrokenElf {
  try {
    return parse(file);
  } catch (error) {
    if (error instanceof Broken || error instanceof RangeError) return { kind: "broken", detail: error.message };
    throw error;
  }
}

/** A table from names, addresses and sizes, for builds whose ELF is not kept. */
export function symbolTable(symbols: readonly ElfSymbol[]): SymbolTable {
  return { kind: "symbols", symbols: sorted(symbols), buildId: null, code: [], data: [] };
}

function sorted(symbols: readonly ElfSymbol[]): ElfSymbol[] {
  return [...symbols].sort((a, b) => a.start - b.start || b.size - a.size || (a.name < b.name ? -1 : 1));
}

function parse(file: Uint8Array): SymbolTable {
  if (file.length < 52 || file[0] !== 0x7f || file[1] !== 0x45 || file[2] !== 0x4c || file[3] !== 0x46) {
    throw new Broken("ELF header", 0, "not an ELF file");
  }
  const wide = file[4] === 2;
  const little = file[5] !== 2;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const half = (at: number): number => view.getUint16(at, little);
  const word = (at: number): number => view.getUint32(at, little);
  const long = (at: number): number => (wide ? Number(view.getBigUint64(at, little)) : word(at));
  const machine = half(18);
  const table = long(wide ? 0x28 : 0x20);
  const entry = half(wide ? 0x3a : 0x2e);
  const count = half(wide ? 0x3c : 0x30);
  if (table + count * entry > file.length) throw new Broken("ELF section table", table, "the section table reaches past the end of the file");
  const sections: Section[] = Array.from({ length: count }, (_, i) => {
    const at = table + i * entry;
    return wide
      ? { name: word(at), type: word(at + 4), flags: long(at + 8), address: long(at + 16), offset: long(at + 24), size: long(at + 32), link: word(at + 40) }
      : { name: word(at), type: word(at + 4), flags: word(at + 8), address: word(at + 12), offset: word(at + 16), size: word(at + 20), link: word(at + 24) };
  });
  const content = (section: Section): Uint8Array => {
    if (section.offset + section.size > file.length) throw new Broken("ELF section", section.offset, "a section reaches past the end of the file");
    return file.subarray(section.offset, section.offset + section.size);
  };
  const text = (bytes: Uint8Array, at: number): string => {
    const end = bytes.indexOf(0, at);
    return new TextDecoder().decode(bytes.subarray(at, end < 0 ? bytes.length : end));
  };
  const symbols: ElfSymbol[] = [];
  for (const section of sections) {
    if (section.type !== SHT_SYMTAB) continue;
    const names = content(sections[section.link] ?? section);
    const size = wide ? 24 : 16;
    content(section);
    for (let at = section.offset; at + size <= section.offset + section.size; at += size) {
      const type = (file[at + (wide ? 4 : 12)] as number) & 0xf;
      if (type !== STT_FUNC && type !== STT_OBJECT) continue;
      const value = long(at + (wide ? 8 : 4));
      // On Arm bit 0 of a function's address says Thumb; it is no part of where the function lies.
      const start = type === STT_FUNC && machine === EM_ARM ? value - (value % 2) : value;
      symbols.push({ name: text(names, word(at)), start, size: long(at + (wide ? 16 : 8)), kind: type === STT_FUNC ? "function" : "object" });
    }
  }
  if (symbols.length === 0) throw new Broken("ELF .symtab", 0, "the file has no symbol table: it was stripped");
  const held = (wanted: (flags: number) => boolean) =>
    sections.filter((section) => section.type === SHT_PROGBITS && wanted(section.flags) && section.size > 0).map((section) => ({ start: section.address, bytes: content(section) }));
  const code = held((flags) => (flags & SHF_EXECINSTR) !== 0);
  const data = held((flags) => (flags & (SHF_ALLOC | SHF_EXECINSTR)) === SHF_ALLOC);
  const noted = buildId(sections.filter((s) => s.type === SHT_NOTE).map(content), little) ?? buriedBuildId([...data, ...code].map(({ bytes }) => bytes), little);
  return { kind: "symbols", symbols: sorted(symbols), buildId: noted, code, data };
}

const NT_GNU_BUILD_ID = 3;
/** Bytes of what linkers make: xxhash, MD5 and UUID, SHA-1, SHA-256. */
const buildIdSizes: readonly number[] = [8, 16, 20, 32];

function buildId(notes: readonly Uint8Array[], little: boolean): string | null {
  for (const note of notes) {
    if (note.length < 16) continue;
    const view = new DataView(note.buffer, note.byteOffset, note.byteLength);
    const [nameSize, size, type] = [view.getUint32(0, little), view.getUint32(4, little), view.getUint32(8, little)];
    if (type !== NT_GNU_BUILD_ID || nameSize !== 4 || 16 + size > note.length) continue;
    return Array.from(note.subarray(16, 16 + size), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  return null;
}

/** A linker script may put the note among other constants, as firmware/subsys/build_id.ld does; then it has no section of its own. */
function buriedBuildId(sections: readonly Uint8Array[], little: boolean): string | null {
  for (const bytes of sections) {
    for (let at = bytes.indexOf(0x47, 12); at >= 0; at = bytes.indexOf(0x47, at + 1)) {
      // "GNU\0" behind a note's three words, at a multiple of 4
      if (at % 4 === 0 && bytes[at + 1] === 0x4e && bytes[at + 2] === 0x55 && bytes[at + 3] === 0) {
        const found = buildId([bytes.subarray(at - 12)], little);
        if (found !== null && buildIdSizes.includes(found.length / 2)) return found;
      }
    }
  }
  return null;
}

/** The GNU build id that a little-endian program holds in its bytes, in hex; null when its linker put none there. */
export function buildIdIn(program: Uint8Array): string | null {
  return buriedBuildId([program], true);
}

/** The symbol of this name. */
export function findSymbol(table: SymbolTable, name: string): ElfSymbol | undefined {
  return table.symbols.find((symbol) => symbol.name === name);
}

/** What the file has of `size` bytes of the image's memory at `address`. */
export function bytesOf(table: SymbolTable, address: number, size: number): Uint8Array | undefined {
  const held = [...table.data, ...table.code].find(({ start, bytes }) => address >= start && address + size <= start + bytes.length);
  return held?.bytes.subarray(address - held.start, address - held.start + size);
}

/** The function that holds `address`. A symbol without a size (assembly) reaches to the next symbol. */
export function locate(table: SymbolTable, address: number): Located | undefined {
  const { symbols } = table;
  let low = 0;
  let high = symbols.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if ((symbols[mid] as ElfSymbol).start <= address) low = mid + 1;
    else high = mid;
  }
  for (let i = low - 1; i >= 0 && i >= low - 16; i--) {
    const symbol = symbols[i] as ElfSymbol;
    if (symbol.kind !== "function") continue;
    const next = symbols.slice(i + 1).find((s) => s.start > symbol.start)?.start ?? symbol.start + 4096;
    const end = symbol.size > 0 ? symbol.start + symbol.size : Math.min(next, symbol.start + 4096);
    if (address < end) return { name: symbol.name, offset: address - symbol.start, size: symbol.size };
  }
  return undefined;
}

/** Whether the Thumb instruction that ends at `address` is a call; undefined where the table has no code for it. */
export function isAfterCall(table: SymbolTable, address: number): boolean | undefined {
  const section = table.code.find((code) => address - 4 >= code.start && address <= code.start + code.bytes.length);
  if (section === undefined) return undefined;
  const at = address - section.start;
  const half = (index: number): number => (section.bytes[index] as number) | ((section.bytes[index + 1] as number) << 8);
  const isBl = (half(at - 4) & 0xf800) === 0xf000 && (half(at - 2) & 0xd000) === 0xd000;
  const isBlxRegister = (half(at - 2) & 0xff87) === 0x4780;
  return isBl || isBlxRegister;
}
