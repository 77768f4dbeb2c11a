// SPDX-License-Identifier: Apache-2.0
import { fromHex } from "./hex.ts";
import type { MessageType } from "./messages.ts";

/** Bytes that must be refused, and the reason to give. `offset` is where the trouble starts. */
export interface Malformed {
  readonly type: MessageType;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly reason: string;
  readonly offset: number;
}

// A progress report, cut where the cases put something else: version, kind, boot, sequence, uptime_s, body.
const head = "a6 0001 0103";
const occasion = "0203 0319019c 041a00014ff0";
const body = "05 a3 0007 0101 02191000";
const hash = "11".repeat(32);
const beat = `a6 0001 0102 ${occasion} 05`;
const battery = `${beat} a5 005820${hash} 01f5 02`;
const metrics = `${battery} f6 03fb3fe0000000000000 04`;
const hello = `a6 0001 0101 ${occasion} 05a8`;
const one = "fb3ff0000000000000";

const report = (name: string, hex: string, reason: string, offset: number): Malformed => of("report", name, hex, reason, offset);

function of(type: MessageType, name: string, hex: string, reason: string, offset: number): Malformed {
  return { type, name, bytes: fromHex(hex.replaceAll(" ", "")), reason, offset };
}

/** Refusals of every sort, one of each. The reasons are written by hand: they are what the decoders promise. */
export const malformed: readonly Malformed[] = [
  // The outermost map.
  report("empty", "", "message: empty", 0),
  report("not a map", "01", "message: expected a map, found an unsigned integer", 0),
  report("an array", "83000101", "message: expected a map, found an array", 0),
  report("only a map head", "a6", "version: the message ends early", 1),
  report("a map of indefinite length", `bf 0001 0103 ${occasion} ${body} ff`, "message: expected a map, found an indefinite length", 0),
  report("a map head in 2 bytes", `b806 0001 0103 ${occasion} ${body}`, "message: not in its shortest form", 0),
  report("a map of 2^32 - 1 pairs", "baffffffff 0001 0103", "message: unknown pairs", 0),
  report("a map of 2^64 - 1 pairs", "bbffffffffffffffff 0001 0103", "message: more than 4294967295", 0),
  report("no version first", `a5 0103 ${occasion} ${body}`, "version: its key is not next", 1),
  report("version 0", `a6 0000 0103 ${occasion} ${body}`, "version: unknown", 2),
  report("version 2", `a6 0002 0103 ${occasion} ${body}`, "version: unknown", 2),
  report("version 2 with a shape of its own", "a2 0002 0963666f6f", "version: unknown", 2),
  report("version 1.0", `a6 00${one} 0103 ${occasion} ${body}`, "version: expected an unsigned integer, found a float64", 2),
  report("kind 0", `a6 0001 0100 ${occasion} ${body}`, "kind: not a report", 4),
  report("kind 8", `a6 0001 0108 ${occasion} ${body}`, "kind: not a report", 4),
  report("a command", "a3 0001 010b 05a10007", "kind: not a report", 4),
  report("a pair missing", `a5 0001 0103 0203 0319019c ${body}`, "message: pairs are missing", 0),
  report("an unknown pair", `a7 0001 0103 ${occasion} ${body} 0600`, "message: unknown pairs", 0),
  report("a key repeated", `a6 0001 0103 0203 0203 041a00014ff0 ${body}`, "sequence: the key before it is repeated", 7),
  report("keys out of order", `a6 0001 0103 0319019c 0203 041a00014ff0 ${body}`, "boot: its key is not next", 5),
  report("an unknown key", `a6 0001 0103 0203 0319019c 0600 ${body}`, "uptime_s: its key is not next", 11),
  report("a key in 2 bytes", `a6 0001 0103 180203 0319019c 041a00014ff0 ${body}`, "boot: its key is not next", 5),
  report("a text key", `a6 0001 0103 613203 0319019c 041a00014ff0 ${body}`, "boot: its key is not next", 5),
  report("bytes after the end", `${head} ${occasion} ${body} 00`, "message: bytes after the end", 27),
  report("a second message", `${head} ${occasion} ${body} ${head}`, "message: bytes after the end", 27),
  report("cut in a number", `${head} 0203 031901`, "sequence: the message ends early", 8),
  report("cut after a key", `${head} 0203 03`, "sequence: the message ends early", 8),
  report("a report of 4097 bytes", `${head} ${occasion} ${body} ${"00".repeat(4_072)}`, "message: more than 4096 bytes", 0),
  report("8193 bytes", `${head} ${"00".repeat(8_188)}`, "message: more than 8192 bytes", 0),
  report("64 KiB of bignum", `c25a0000fff9${"ff".repeat(65_530)}`, "message: more than 8192 bytes", 0),
  report("8 KiB of nested arrays", "81".repeat(8_192), "message: expected a map, found an array", 0),
  report("8 KiB of nested maps", "a100".repeat(4_096), "version: expected an unsigned integer, found a map", 2),
  report("a tag around the message", `d9d9f7 ${head} ${occasion} ${body}`, "message: expected a map, found a tag", 0),

  // Numbers.
  report("a number in too many bytes", `${head} 021803 0319019c 041a00014ff0 ${body}`, "boot: not in its shortest form", 6),
  report("a number in 8 bytes for nothing", `${head} 021b0000000000000003`, "boot: not in its shortest form", 6),
  report("2^32 where 32 bits are meant", `${head} 021b0000000100000000`, "boot: more than 4294967295", 6),
  report("2^64 - 1", `${head} 021bffffffffffffffff`, "boot: more than 4294967295", 6),
  report("2^53 as an offer", `${head} ${occasion} 05a3 001b0020000000000000`, "progress.offer: more than 9007199254740991", 20),
  report("a negative number", `${head} 0220`, "boot: expected an unsigned integer, found a negative integer", 6),
  report("a bignum", `${head} 02c24103`, "boot: expected an unsigned integer, found a tag", 6),
  report("a whole float", `${head} 02${one}`, "boot: expected an unsigned integer, found a float64", 6),
  report("a text as number", `${head} 026133`, "boot: expected an unsigned integer, found a text string", 6),
  report("true as number", `${head} 02f5`, "boot: expected an unsigned integer, found a boolean", 6),
  report("null as number", `${head} 02f6`, "boot: expected an unsigned integer, found null", 6),
  report("undefined as number", `${head} 02f7`, "boot: expected an unsigned integer, found undefined", 6),
  report("a simple value as number", `${head} 02f0`, "boot: expected an unsigned integer, found a simple value", 6),
  report("a reserved byte", `${head} 021c`, "boot: expected an unsigned integer, found a reserved byte", 6),
  report("an indefinite number", `${head} 021f`, "boot: expected an unsigned integer, found a reserved byte", 6),
  report("a break", `${head} 02ff`, "boot: expected an unsigned integer, found a break", 6),

  // Bodies.
  report("a body that is no map", `${head} ${occasion} 0580`, "progress: expected a map, found an array", 18),
  report("a body with a pair missing", `${head} ${occasion} 05a2 0007 0101`, "progress: pairs are missing", 18),
  report("a body with an unknown pair", `${head} ${occasion} 05a4 0007 0101 02191000 0300`, "progress: unknown pairs", 18),
  report("an unknown word", `${head} ${occasion} 05a3 0007 0105 02191000`, "progress.state: unknown word", 22),
  report("a word as text", `${head} ${occasion} 05a3 0007 01676170706c79 6e67`, "progress.state: expected an unsigned integer, found a text string", 22),

  // Real numbers.
  report("battery as a whole number", `${battery} 1857`, "heartbeat.battery: expected a float64, found an unsigned integer", 57),
  report("battery as float16", `${battery} f95580`, "heartbeat.battery: expected a float64, found a float16", 57),
  report("battery as float32", `${battery} fa42af0000`, "heartbeat.battery: expected a float64, found a float32", 57),
  report("battery above 100", `${battery} fb4059400000000001`, "heartbeat.battery: out of range", 57),
  report("battery below 0", `${battery} fbbff0000000000000`, "heartbeat.battery: out of range", 57),
  report("battery -0", `${battery} fb8000000000000000`, "heartbeat.battery: negative zero", 57),
  report("battery NaN", `${battery} fb7ff8000000000000`, "heartbeat.battery: not a finite number", 57),
  report("battery infinite", `${battery} fb7ff0000000000000`, "heartbeat.battery: not a finite number", 57),
  report("a float cut", `${battery} fb4055e000`, "heartbeat.battery: the message ends early", 57),
  report("link uptime above 1", `${battery} f6 03fb3ff0000000000001`, "heartbeat.linkUptime: out of range", 59),

  // Byte strings.
  report("a hash of 31 bytes", `${beat} a5 00581f${"11".repeat(31)}`, "heartbeat.imageHash: fewer than 32 bytes", 20),
  report("a hash of 33 bytes", `${beat} a5 005821${"11".repeat(33)}`, "heartbeat.imageHash: more than 32", 20),
  report("a hash as text", `${beat} a5 007820${hash}`, "heartbeat.imageHash: expected a byte string, found a text string", 20),
  report("a hash in chunks", `${beat} a5 005f5820${hash}ff`, "heartbeat.imageHash: expected a byte string, found an indefinite length", 20),
  report("a hash cut", `${beat} a5 0058201111`, "heartbeat.imageHash: the message ends early", 20),
  report("a byte string of 2^64 - 1 bytes", `${beat} a5 005bffffffffffffffff11`, "heartbeat.imageHash: more than 32", 20),

  // Metrics and attributes.
  report("17 metrics", `${metrics} b1`, "heartbeat.metrics: more than 16", 69),
  report("2^32 - 1 metrics", `${metrics} baffffffff`, "heartbeat.metrics: more than 16", 69),
  report("metrics in an array", `${metrics} 80`, "heartbeat.metrics: expected a map, found an array", 69),
  report("a metric twice", `${metrics} a2 6161${one} 6161${one}`, "heartbeat.metrics: a name is repeated", 81),
  report("metrics out of order", `${metrics} a2 6162${one} 6161${one}`, "heartbeat.metrics: names are not in order", 81),
  report("a long name before a short one", `${metrics} a2 626161${one} 6162${one}`, "heartbeat.metrics: names are not in order", 82),
  report("__proto__", `${metrics} a1 695f5f70726f746f5f5f${one}`, "heartbeat.metrics: not a name", 70),
  report("an empty name", `${metrics} a1 60${one}`, "heartbeat.metrics: not a name", 70),
  report("a name of 33 characters", `${metrics} a1 7821${"61".repeat(33)}${one}`, "heartbeat.metrics: more than 32", 70),
  report("a number as name", `${metrics} a1 01${one}`, "heartbeat.metrics: expected a text string, found an unsigned integer", 70),
  report("a whole number as metric", `${metrics} a1 616101`, "heartbeat.metrics: expected a float64, found an unsigned integer", 72),
  report("a map as metric", `${metrics} a1 6161a0`, "heartbeat.metrics: expected a float64, found a map", 72),

  report("a hello with a pair beyond the optional one", `a6 0001 0101 ${occasion} 05aa`, "hello: unknown pairs", 18),
  report("a hello with a pair missing", `a6 0001 0101 ${occasion} 05a7`, "hello: pairs are missing", 18),

  // Texts.
  report("a board with an escape sequence", `${hello} 00a5 00651b5b324a21`, "hardware.board: not printable ASCII", 23),
  report("a board with a line break", `${hello} 00a5 0063610a62`, "hardware.board: not printable ASCII", 24),
  report("a board with DEL", `${hello} 00a5 00627f61`, "hardware.board: not printable ASCII", 23),
  report("a board in bad UTF-8", `${hello} 00a5 0062c328`, "hardware.board: not printable ASCII", 23),
  report("a board with a right-to-left override", `${hello} 00a5 0063e280ae`, "hardware.board: not printable ASCII", 23),
  report("a board of 65 characters", `${hello} 00a5 007841${"61".repeat(65)}`, "hardware.board: more than 64", 22),
  report("a board in chunks", `${hello} 00a5 007f6161ff`, "hardware.board: expected a text string, found an indefinite length", 22),
  report("a board cut", `${hello} 00a5 006461`, "hardware.board: the message ends early", 22),
  report("a board of 2^32 - 1 characters", `${hello} 00a5 007affffffff61`, "hardware.board: more than 64", 22),

  // Commands and blocks.
  of("command", "empty: the retained offer was taken back", "", "message: empty", 0),
  of("command", "a report", `${head} ${occasion} ${body}`, "kind: not a command", 4),
  of("command", "version 2", "a3 0002 010b 05a10007", "version: unknown", 2),
  of("command", "an unknown pair", "a4 0001 010b 05a10007 0600", "message: unknown pairs", 0),
  of("command", "cancel without an offer", "a3 0001 010b 05a0", "cancel: pairs are missing", 6),
  of("command", "identify with a body", "a3 0001 010e 05a10000", "identify: unknown pairs", 6),
  of("command", "renumber without a number", "a3 0001 010f 05a0", "renumber: pairs are missing", 6),
  of("command", "renumber above 32 bits", "a3 0001 010f 05a1001b0000000100000000", "renumber.boot: more than 4294967295", 8),
  of("command", "a kind after the last", "a3 0001 0110 05a0", "kind: not a command", 4),
  of("command", "a release that is no label", "a3 0001 010a 05a9 0007 01622d61", "offer.release: not a label", 10),
  of("command", "an empty release", "a3 0001 010a 05a9 0007 0160", "offer.release: not a label", 10),
  of("block-request", "an answer", "a3 0001 0116 05a2 0001 0100", "kind: not a block request", 4),
  of("block-request", "no bytes asked for", "a3 0001 0114 05a4 0001 01481111111111111111 0200 0300", "block-request.length: zero", 22),
  of("block-request", "more than 16384 bytes asked for", "a3 0001 0114 05a4 0001 01481111111111111111 0200 03194001", "block-request.length: more than 16384", 22),
  of("block-request", "a digest of 7 bytes", "a3 0001 0114 05a4 0001 014711111111111111", "block-request.digest: fewer than 8 bytes", 10),
  of("block-answer", "a request", "a3 0001 0114 05a4 0001 01481111111111111111 0200 0301", "kind: not a block answer", 4),
  of("block-answer", "an unknown refusal", "a3 0001 0116 05a2 0001 0103", "refused.reason: unknown word", 10),
  of("block-answer", "data that is not there", "a3 0001 0115 05a3 0001 0100 02594000 00", "block.data: the message ends early", 12),
  of("block-answer", "more data than 16384 bytes", `a3 0001 0115 05a3 0001 0100 02594001 ${"00".repeat(16)}`, "block.data: more than 16384", 12),
];
