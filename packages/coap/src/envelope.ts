// SPDX-License-Identifier: Apache-2.0
// The envelope: a COSE_Mac0 in the Mac option of a message.
//
// V1. A device's request is bound to its id, its sequence number, the method, every option before the Mac option (path,
//     query, block, observe, echo) and the payload.
// V2. The host's answer is bound to the sequence number of the request it answers, the code, the options and the payload.
// V3. Token, message id and type are not bound: they belong to the hop, and a relay may change them.
import { isDeviceId, type DeviceId } from "@coalmine/core";
import { decodeMac0, encodeHeader, encodeMac0, MacAlgorithm, macTag, tagsEqual } from "./cose.ts";
import { encodeOptions, type Message } from "./message.ts";
import { type Option, OptionNumber, optionOf } from "./option.ts";

/** What starts the authenticated context: the name and version of this envelope, then `up` or `down`. */
const upward = new TextEncoder().encode("coalmine/1 up\0");
const downward = new TextEncoder().encode("coalmine/1 down\0");
/** Every code as one byte of the context. */
const codes = Array.from({ length: 256 }, (_, code) => Uint8Array.of(code));

/** Who says they sent a request, not yet believed. */
export interface Claim {
  readonly device: DeviceId;
  readonly sequence: number;
  readonly matches: (secret: Uint8Array) => boolean;
}

/** Reads the envelope of a request; undefined when there is none or it is no envelope. */
export function readClaim(message: Message, optionBytes: Uint8Array): Claim | undefined {
  const value = optionOf(message.options, OptionNumber.mac);
  const mac0 = value === undefined ? undefined : decodeMac0(value);
  const { keyId, sequence } = mac0?.header ?? {};
  if (mac0 === undefined || keyId === undefined || sequence === undefined) {
    return undefined;
  }
  const device = Buffer.from(keyId.buffer, keyId.byteOffset, keyId.length).toString("latin1");
  if (!isDeviceId(device)) {
    return undefined;
  }
  return {
    device,
    sequence,
    matches: (key) =>
      tagsEqual(
        mac0.tag,
        macTag({
          algorithm: mac0.header.algorithm,
          key,
          protectedBytes: mac0.protectedBytes,
          externalAad: [upward, codes[message.code] as Uint8Array, optionBytes],
          payload: message.payload,
        }),
      ),
  };
}

/** A device's identity and its next sequence number. */
export interface Signer {
  readonly device: DeviceId;
  readonly secret: Uint8Array;
  readonly sequence: number;
}

/** Adds the envelope to a device's request. */
export function signRequest(message: Message, signer: Signer, algorithm: MacAlgorithm = MacAlgorithm.hmac256_64): Message {
  const protectedBytes = encodeHeader({ algorithm, keyId: new TextEncoder().encode(signer.device), sequence: signer.sequence });
  return sealed(message, algorithm, signer.secret, protectedBytes, [upward, codes[message.code] as Uint8Array]);
}

/** The request that an answer belongs to. */
export interface Reply {
  readonly secret: Uint8Array;
  readonly sequence: number;
}

/** Adds the envelope to an answer of the host, or to a notification. */
export function signResponse(message: Message, reply: Reply): Message {
  const protectedBytes = encodeHeader({ algorithm: MacAlgorithm.hmac256_64, sequence: reply.sequence });
  return sealed(message, MacAlgorithm.hmac256_64, reply.secret, protectedBytes, [downward, codes[message.code] as Uint8Array]);
}

function sealed(message: Message, algorithm: MacAlgorithm, key: Uint8Array, protectedBytes: Uint8Array, context: readonly Uint8Array[]): Message {
  const options: readonly Option[] = message.options.toSorted((a, b) => a.number - b.number);
  const tag = macTag({ algorithm, key, protectedBytes, externalAad: [...context, encodeOptions(options)], payload: message.payload });
  return { ...message, options: [...options, { number: OptionNumber.mac, value: encodeMac0(protectedBytes, tag) }] };
}

/** True when an answer carries the host's envelope for this request. */
export function isResponseGenuine(message: Message, optionBytes: Uint8Array, reply: Reply): boolean {
  const value = optionOf(message.options, OptionNumber.mac);
  const mac0 = value === undefined ? undefined : decodeMac0(value);
  if (mac0 === undefined || mac0.header.keyId !== undefined || mac0.header.sequence !== reply.sequence) {
    return false;
  }
  return tagsEqual(
    mac0.tag,
    macTag({
      algorithm: mac0.header.algorithm,
      key: reply.secret,
      protectedBytes: mac0.protectedBytes,
      externalAad: [downward, codes[message.code] as Uint8Array, optionBytes],
      payload: message.payload,
    }),
  );
}
