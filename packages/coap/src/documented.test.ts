// SPDX-License-Identifier: Apache-2.0
// docs/coap.md is what devices are written from: its example must be what this code says.
import { deviceId } from "@coalmine/core";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { signRequest, signResponse } from "./envelope.ts";
import { coapKey } from "./key.ts";
import { Code, encodeOptions, formatMessage, type Message } from "./message.ts";
import { OptionNumber, writeUint } from "./option.ts";

const page = readFileSync(new URL("../../../docs/coap.md", import.meta.url), "utf8");
const example = (/### Worked example\n([\s\S]*?)\n### /.exec(page) as RegExpExecArray)[1] as string;
/** The hex behind a name, in the order of the page. */
const told = (name: string): string[] => [...example.matchAll(new RegExp(`^ +${name} +([0-9a-f]+)$`, "gm"))].map((match) => match[1] as string);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

test("the worked example of docs/coap.md is what the envelope's code makes of it", () => {
  const secret = (/Secret `([0-9a-f]{64})`/.exec(example) as RegExpExecArray)[1] as string;
  const key = coapKey(secret);
  const get: Message = {
    type: "con",
    code: Code.get,
    id: 0x1234,
    token: Uint8Array.of(1, 2, 3, 4),
    options: [{ number: OptionNumber.observe, value: new Uint8Array(0) }, ...[".u", "desired"].map((segment) => ({ number: OptionNumber.uriPath, value: ascii(segment) }))],
    payload: new Uint8Array(0),
  };
  const signer = { device: deviceId("dev-1"), secret: key, sequence: 0x100001 };
  const request = signRequest(get, signer);
  const answer = signResponse(
    { ...get, type: "ack", code: Code.content, options: [{ number: OptionNumber.etag, value: Uint8Array.fromHex("811c9dc5") }, { number: OptionNumber.observe, value: Uint8Array.of(5) }] },
    signer,
  );
  const report = signRequest(
    {
      ...get,
      code: Code.post,
      id: 0x1235,
      token: Uint8Array.of(5),
      options: [{ number: OptionNumber.uriPath, value: ascii(".r") }, { number: OptionNumber.contentFormat, value: Uint8Array.of(60) }],
      payload: ascii("abcd"),
    },
    { ...signer, sequence: 0x100002 },
  );
  const behind = signResponse({ ...get, type: "ack", code: Code.unauthorized, options: [{ number: OptionNumber.renew, value: writeUint(0x200_0005) }] }, signer);
  const mac = ({ options }: Message): string => hex((options.at(-1) as { value: Uint8Array }).value);
  expect(told("key")).toEqual([hex(key)]);
  expect(told("options")).toEqual([hex(encodeOptions(get.options))]);
  expect(told("option 65001")).toEqual([mac(request), mac(answer), mac(behind)]);
  expect(told("datagram")).toEqual([request, answer, report, behind].map((message) => hex(formatMessage(message))));
});
