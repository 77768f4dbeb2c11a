// SPDX-License-Identifier: Apache-2.0
// The ELF of a simulated build, as a linker would leave it beside the image: code with its calls, symbols, GNU build id
// (System V ABI, chapters 4 and 5). `release symbols` takes it.
import { ByteWriter } from "./bytes.ts";
import { programFunctions } from "./crash-site.ts";
import type { Draw } from "./device.ts";

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly link: number;
  readonly entrySize: number;
}

const headerSize = 52;
const sectionHeaderSize = 40;
const armMachine = 40;
const thumbNop = 0xbf00;

/**
 * An ELF32 for Cortex-M with the names of everything that this build's crashes go through. The same build gives the same bytes.
 * @param build image hash and build id in lower-case hex
 */
export function symbolFile(build: { readonly imageHash: string; readonly buildId: string }, draw: Draw): Uint8Array {
  const { functions, returns } = programFunctions(draw, build.imageHash);
  const names = new Strings();
  const symbols = new ByteWriter().zeros(16);
  for (const { name, start, size } of functions) {
    // Bit 0 of a function's address says Thumb; STB_GLOBAL, STT_FUNC; in section 1.
    symbols.u32(names.add(name)).u32(start | 1).u32(size).u8(0x12).u8(0).u16(1);
  }
  const start = Math.min(...functions.map((one) => one.start));
  const end = Math.max(...functions.map((one) => one.start + one.size));
  const buildId = Uint8Array.fromHex(build.buildId);
  const note = new ByteWriter().u32(4).u32(buildId.length).u32(3).bytes(new TextEncoder().encode("GNU\0")).bytes(buildId).done();
  return elf([
    { name: "", type: 0, flags: 0, address: 0, bytes: new Uint8Array(0), link: 0, entrySize: 0 },
    { name: ".text", type: 1, flags: 6, address: start, bytes: code(start, end, returns), link: 0, entrySize: 0 },
    { name: ".note.gnu.build-id", type: 7, flags: 2, address: 0, bytes: note, link: 0, entrySize: 0 },
    { name: ".symtab", type: 2, flags: 0, address: 0, bytes: symbols.done(), link: 4, entrySize: 16 },
    { name: ".strtab", type: 3, flags: 0, address: 0, bytes: names.bytes(), link: 0, entrySize: 0 },
  ]);
}

/** Instructions that do nothing, and a call (BL, encoding T1) before each address that is returned to. */
function code(start: number, end: number, returns: readonly number[]): Uint8Array {
  const halves = new Uint16Array((end - start) / 2).fill(thumbNop);
  for (const address of returns) {
    const at = (address - start) / 2;
    halves[at - 2] = 0xf000;
    halves[at - 1] = 0xf800;
  }
  const writer = new ByteWriter();
  halves.forEach((half) => writer.u16(half));
  return writer.done();
}

function elf(sections: readonly Section[]): Uint8Array {
  const names = new Strings();
  const heads = [...sections, { name: ".shstrtab", type: 3, flags: 0, address: 0, link: 0, entrySize: 0 }].map((section) => ({ ...section, nameAt: names.add(section.name) }));
  const contents = [...sections.map(({ bytes }) => bytes), names.bytes()];
  const offsets: number[] = [];
  const body = new ByteWriter();
  for (const bytes of contents) {
    offsets.push(headerSize + body.length);
    body.bytes(bytes).zeros((4 - (bytes.length % 4)) % 4);
  }
  const table = headerSize + body.length;
  const header = new ByteWriter()
    .bytes(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0))
    .zeros(8)
    .u16(2).u16(armMachine).u32(1).u32(0).u32(0).u32(table).u32(0)
    .u16(headerSize).u16(0).u16(0).u16(sectionHeaderSize).u16(heads.length).u16(heads.length - 1);
  const sectionTable = new ByteWriter();
  for (const [index, { nameAt, type, flags, address, link, entrySize }] of heads.entries()) {
    const isNull = type === 0;
    sectionTable.u32(nameAt).u32(type).u32(flags).u32(address).u32(isNull ? 0 : (offsets[index] as number)).u32(contents[index]?.length ?? 0).u32(link).u32(type === 2 ? 1 : 0).u32(isNull ? 0 : 4).u32(entrySize);
  }
  return new ByteWriter().bytes(header.done()).bytes(body.done()).bytes(sectionTable.done()).done();
}

/** A string table: names by the offset of their first byte, each once. */
class Strings {
  readonly #at = new Map<string, number>([["", 0]]);
  readonly #writer = new ByteWriter().u8(0);

  add(name: string): number {
    const known = this.#at.get(name) ?? this.#writer.length;
    if (!this.#at.has(name)) {
      this.#at.set(name, known);
      this.#writer.bytes(new TextEncoder().encode(name)).u8(0);
    }
    return known;
  }

  bytes(): Uint8Array {
    return this.#writer.done();
  }
}
