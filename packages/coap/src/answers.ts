// SPDX-License-Identifier: Apache-2.0
// What answers have in common.
import type { DeviceId } from "@coalmine/core";
import { cut } from "./blockwise.ts";
import type { Answer, Request } from "./endpoint.ts";
import type { Reply } from "./envelope.ts";
import { Code } from "./message.ts";
import { checksum } from "./peer.ts";
import { type Block, type Option, OptionNumber, optionOf, readUint, writeBlock, writeUint } from "./option.ts";

/** Size exponent where the device asks for none: 1,024 bytes. */
export const defaultSzx = 6;

/** A request whose device is known. */
export interface Asked {
  readonly request: Request;
  readonly device: DeviceId;
  /** How the answer is signed; undefined without secrets. */
  readonly reply: Reply | undefined;
  readonly method: number;
  readonly path: readonly string[];
  readonly block1: Block | undefined;
  readonly block2: Block | undefined;
}

export function text(line: string): Uint8Array {
  return new TextEncoder().encode(line);
}

export function formatOption(format: number): Option {
  return { number: OptionNumber.contentFormat, value: writeUint(format) };
}

export function signed(answer: Answer, reply: Reply | undefined): Answer {
  return reply === undefined ? answer : { ...answer, reply };
}

export function refusal(code: number, reply: Reply | undefined, why?: string): Answer {
  return signed(why === undefined ? { code } : { code, payload: text(why) }, reply);
}

/** True when the request takes this content format. */
export function accepts(request: Request, format: number): boolean {
  const accept = optionOf(request.message.options, OptionNumber.accept);
  return accept === undefined || readUint(accept) === format;
}

/** The rest of the query that starts so. */
export function queryOf(request: Request, start: string): string | undefined {
  for (const { number, value } of request.message.options) {
    if (number === OptionNumber.uriQuery && value.length > start.length) {
      const query = Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1");
      if (query.startsWith(start)) {
        return query.slice(start.length);
      }
    }
  }
  return undefined;
}

/** One block of a representation that we hold whole. */
export function content(options: {
  readonly whole: Uint8Array;
  readonly format: Option;
  readonly asked: Block | undefined;
  readonly szx: number;
  readonly observe: number | undefined;
  readonly reply: Reply | undefined;
}): Answer {
  const { whole, format, asked, szx, observe, reply } = options;
  const piece = cut(whole, asked ?? { num: 0, more: false, szx });
  if (piece === undefined) {
    return refusal(Code.badRequest, reply, "block past the end");
  }
  const head: Option[] = [{ number: OptionNumber.etag, value: etagOf(whole) }];
  if (observe !== undefined) {
    head.push({ number: OptionNumber.observe, value: writeUint(observe) });
  }
  if (whole.length > 0) {
    head.push(format);
  }
  if (asked !== undefined || piece.block.more) {
    head.push({ number: OptionNumber.block2, value: writeBlock(piece.block) });
  }
  if (piece.block.more && piece.block.num === 0) {
    head.push({ number: OptionNumber.size2, value: writeUint(whole.length) });
  }
  return { code: Code.content, options: head, payload: piece.data, ...(reply === undefined ? {} : { reply }) };
}

/** Tells two states of a small resource apart; proves nothing. */
function etagOf(content: Uint8Array): Uint8Array {
  const etag = new Uint8Array(4);
  new DataView(etag.buffer).setUint32(0, checksum(content));
  return etag;
}
