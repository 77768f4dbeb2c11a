// SPDX-License-Identifier: Apache-2.0
import type { LinkHost } from "@coalmine/orchestrator";
import { accepts, type Asked, defaultSzx, formatOption, queryOf, refusal } from "./answers.ts";
import type { Kept } from "./commands.ts";
import type { Answer } from "./endpoint.ts";
import { Code } from "./message.ts";
import { blockSize, ContentFormat, type Option, OptionNumber, writeBlock } from "./option.ts";

const octetsFormat = formatOption(ContentFormat.octets);
const digestQuery = "h=";
const digestHex = /^[0-9a-f]{16}$/;

/**
 * Answers one block of an artifact (RFC 7959 section 2.4), keeping nothing. The host refuses devices without an accepted
 * offer (R8). The query `h=` names the artifact by the first 8 bytes of its digest; without it the offer that stands
 * does. The ETag is those 8 bytes, so a device sees when the artifact changed in the middle.
 */
export function artifactBlock(host: LinkHost, asked: Asked, kept: Kept | undefined, version: string): Answer {
  const { device, reply, request, block2 } = asked;
  if (asked.method !== Code.get) {
    return refusal(Code.methodNotAllowed, reply);
  }
  if (!accepts(request, ContentFormat.octets)) {
    return refusal(Code.notAcceptable, reply);
  }
  const query = queryOf(request, digestQuery);
  if (query !== undefined && !digestHex.test(query)) {
    return refusal(Code.badRequest, reply, "h= takes the first 8 bytes of the digest in hex");
  }
  const named = query === undefined ? undefined : Uint8Array.fromHex(query);
  const standing = kept !== undefined && (named === undefined ? kept.offer.version === version : equal(named, kept.etag.value)) ? kept : undefined;
  const digest = named ?? standing?.etag.value;
  if (digest === undefined) {
    return refusal(Code.notFound, reply);
  }
  const { num, szx } = block2 ?? { num: 0, szx: defaultSzx };
  const size = blockSize(szx);
  const offset = num * size;
  // One byte more than asked for tells whether there is more, where the size is not known.
  const answer = host.block(device, { request: 0, digest, offset, length: standing === undefined ? size + 1 : size });
  if (answer.kind === "refused") {
    switch (answer.reason) {
      case "not-offered":
        return refusal(Code.forbidden, reply);
      case "unknown":
        return refusal(Code.notFound, reply);
      case "range":
        return refusal(Code.badRequest, reply, "block past the end");
    }
  }
  const data = answer.data.length > size ? answer.data.subarray(0, size) : answer.data;
  const more = standing === undefined ? answer.data.length > size : offset + data.length < standing.offer.size;
  const options: Option[] = [standing?.etag ?? { number: OptionNumber.etag, value: digest }, octetsFormat, { number: OptionNumber.block2, value: writeBlock({ num, more, szx }) }];
  if (standing !== undefined && num === 0) {
    options.push(standing.size);
  }
  // Not signed: the digest in the (signed) offer vouches for the whole.
  return { code: Code.content, options, payload: data, repeatable: true };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
