// SPDX-License-Identifier: Apache-2.0
import { unreachable } from "@coalmine/core";
import type { Command, ConfirmPolicy, Offer } from "../command.ts";
import type { Decoded } from "../decoded.ts";
import { limits } from "../limits.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";
import { envelope, kinds } from "./words.ts";

const { uint32, safe } = limits;
const PAIRS = 3;
const writer = new Writer();

/** Writes a command as CBOR (`command` in coalmine.cddl). Throws on a value outside `limits`, which is a bug. */
export function encodeCommand(command: Command): Uint8Array {
  writer.begin(PAIRS, command.kind);
  writer.key(envelope.body);
  writeBody(command);
  return writer.end(limits.message);
}

/** Reads a command. Never throws; see `Undecodable` for what is refused. The result shares no memory with `bytes`. */
export function decodeCommand(bytes: Uint8Array): Decoded<Command> {
  const reader = new Reader(bytes, limits.message);
  const kind = reader.begin("a command", PAIRS, kinds.offer, kinds.renumber);
  reader.key("body", envelope.body);
  return reader.finish(readBody(reader, kind));
}

function writeBody(command: Command): void {
  switch (command.kind) {
    case "offer":
      return writeOffer(command);
    case "cancel":
      writer.map(1);
      return writer.uint(0, "cancel.offer", command.offer, safe);
    case "swap-back":
      writer.map(2);
      writer.uint(0, "swap-back.offer", command.offer, safe);
      return writer.bytes(1, "swap-back.imageHash", command.imageHash, limits.hash, limits.hash);
    case "confirm":
      writer.map(2);
      writer.uint(0, "confirm.offer", command.offer, safe);
      writer.key(1);
      return writePolicy("confirm.policy", command.policy);
    case "identify":
      return writer.map(0);
    case "renumber":
      writer.map(1);
      return writer.uint(0, "renumber.boot", command.boot, uint32);
    default:
      return unreachable(command);
  }
}

function readBody(reader: Reader, kind: number): Command | undefined {
  switch (kind) {
    case kinds.offer:
      return readOffer(reader);
    case kinds.cancel:
      reader.map("cancel", 1);
      return { kind: "cancel", offer: reader.uint(0, "cancel.offer", safe) };
    case kinds["swap-back"]:
      reader.map("swap-back", 2);
      return {
        kind: "swap-back",
        offer: reader.uint(0, "swap-back.offer", safe),
        imageHash: reader.bytes(1, "swap-back.imageHash", limits.hash, limits.hash),
      };
    case kinds.confirm: {
      reader.map("confirm", 2);
      const offer = reader.uint(0, "confirm.offer", safe);
      reader.key("confirm.policy", 1);
      return { kind: "confirm", offer, policy: readPolicy(reader, "confirm.policy") };
    }
    case kinds.identify:
      reader.map("identify", 0);
      return { kind: "identify" };
    case kinds.renumber:
      reader.map("renumber", 1);
      return { kind: "renumber", boot: reader.uint(0, "renumber.boot", uint32) };
    default:
      return undefined; // refused by begin()
  }
}

function writeOffer(offer: Offer): void {
  const { variant } = offer;
  writer.map(9);
  writer.uint(0, "offer.offer", offer.offer, safe);
  writer.label(1, "offer.release", offer.release, limits.release);
  writer.label(2, "offer.version", offer.version, limits.versionText);
  writer.key(3);
  writer.map(3);
  writer.text(0, "variant.board", variant.board, limits.hardware);
  writer.text(1, "variant.revision", variant.revision, limits.hardware);
  writer.text(2, "variant.partitionMap", variant.partitionMap, limits.hardware);
  writer.bytes(4, "offer.digest", offer.digest, limits.hash, limits.hash);
  writer.bytes(5, "offer.imageHash", offer.imageHash, limits.hash, limits.hash);
  writer.uint(6, "offer.size", offer.size, uint32);
  writer.uint(7, "offer.jitter_s", offer.jitter_s, uint32);
  writer.key(8);
  writePolicy("offer.confirm", offer.confirm);
}

function readOffer(reader: Reader): Offer {
  reader.map("offer", 9);
  const offer = reader.uint(0, "offer.offer", safe);
  const release = reader.label(1, "offer.release", limits.release);
  const version = reader.label(2, "offer.version", limits.versionText);
  reader.key("variant", 3);
  reader.map("variant", 3);
  const variant = {
    board: reader.text(0, "variant.board", limits.hardware),
    revision: reader.text(1, "variant.revision", limits.hardware),
    partitionMap: reader.text(2, "variant.partitionMap", limits.hardware),
  };
  const digest = reader.bytes(4, "offer.digest", limits.hash, limits.hash);
  const imageHash = reader.bytes(5, "offer.imageHash", limits.hash, limits.hash);
  const size = reader.uint(6, "offer.size", uint32);
  const jitter_s = reader.uint(7, "offer.jitter_s", uint32);
  reader.key("offer.confirm", 8);
  const confirm = readPolicy(reader, "offer.confirm");
  return { kind: "offer", offer, release, version, variant, digest, imageHash, size, jitter_s, confirm };
}

function writePolicy(field: string, policy: ConfirmPolicy): void {
  writer.map(3);
  writer.uint(0, `${field}.minUptime_s`, policy.minUptime_s, uint32);
  writer.uint(1, `${field}.deadline_s`, policy.deadline_s, uint32);
  writer.bool(2, `${field}.serverContact`, policy.serverContact);
}

function readPolicy(reader: Reader, field: string): ConfirmPolicy {
  reader.map(field, 3);
  return {
    minUptime_s: reader.uint(0, `${field}.minUptime_s`, uint32),
    deadline_s: reader.uint(1, `${field}.deadline_s`, uint32),
    serverContact: reader.bool(2, `${field}.serverContact`),
  };
}
