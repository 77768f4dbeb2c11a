// SPDX-License-Identifier: Apache-2.0
import type { BlockAnswer, BlockRequest } from "../block.ts";
import type { Decoded } from "../decoded.ts";
import { limits } from "../limits.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";
import { envelope, kinds, refusals } from "./words.ts";

const { uint32 } = limits;
const PAIRS = 3;
const writer = new Writer();

/** Writes a block request as CBOR (`block-request` in coalmine.cddl). Throws on a value outside `limits`, a bug. */
export function encodeBlockRequest(request: BlockRequest): Uint8Array {
  writer.begin(PAIRS, "block-request");
  writer.key(envelope.body);
  writer.map(4);
  writer.uint(0, "block-request.request", request.request, uint32);
  writer.bytes(1, "block-request.digest", request.digest, limits.digestPrefix, limits.digestPrefix);
  writer.uint(2, "block-request.offset", request.offset, uint32);
  if (request.length === 0) {
    throw new Error("cannot encode block-request.length: 0 bytes are nothing to ask for");
  }
  writer.uint(3, "block-request.length", request.length, limits.blockData);
  return writer.end(limits.message);
}

/** Reads a block request. Never throws. The result shares no memory with `bytes`. */
export function decodeBlockRequest(bytes: Uint8Array): Decoded<BlockRequest> {
  const reader = new Reader(bytes, limits.message);
  reader.begin("a block request", PAIRS, kinds["block-request"], kinds["block-request"]);
  reader.key("body", envelope.body);
  reader.map("block-request", 4);
  const request = reader.uint(0, "block-request.request", uint32);
  const digest = reader.bytes(1, "block-request.digest", limits.digestPrefix, limits.digestPrefix);
  const offset = reader.uint(2, "block-request.offset", uint32);
  const length = reader.uint(3, "block-request.length", limits.blockData);
  if (!reader.failed && length === 0) {
    reader.fail("block-request.length", "zero", bytes.length - 1);
  }
  return reader.finish({ request, digest, offset, length });
}

/** Writes a block answer as CBOR (`block-answer` in coalmine.cddl). Throws on a value outside `limits`, a bug. */
export function encodeBlockAnswer(answer: BlockAnswer): Uint8Array {
  writer.begin(PAIRS, answer.kind);
  writer.key(envelope.body);
  if (answer.kind === "block") {
    writer.map(3);
    writer.uint(0, "block.request", answer.request, uint32);
    writer.uint(1, "block.offset", answer.offset, uint32);
    writer.bytes(2, "block.data", answer.data, 0, limits.blockData);
  } else {
    writer.map(2);
    writer.uint(0, "refused.request", answer.request, uint32);
    writer.word(1, "refused.reason", answer.reason, refusals);
  }
  return writer.end(limits.blockAnswer);
}

/** Reads a block answer. Never throws. The result shares no memory with `bytes`. */
export function decodeBlockAnswer(bytes: Uint8Array): Decoded<BlockAnswer> {
  const reader = new Reader(bytes, limits.blockAnswer);
  const kind = reader.begin("a block answer", PAIRS, kinds.block, kinds.refused);
  reader.key("body", envelope.body);
  return reader.finish(readAnswer(reader, kind));
}

function readAnswer(reader: Reader, kind: number): BlockAnswer | undefined {
  switch (kind) {
    case kinds.block:
      reader.map("block", 3);
      return {
        kind: "block",
        request: reader.uint(0, "block.request", uint32),
        offset: reader.uint(1, "block.offset", uint32),
        data: reader.bytes(2, "block.data", 0, limits.blockData),
      };
    case kinds.refused:
      reader.map("refused", 2);
      return {
        kind: "refused",
        request: reader.uint(0, "refused.request", uint32),
        reason: reader.word(1, "refused.reason", refusals),
      };
    default:
      return undefined; // refused by begin()
  }
}
