// SPDX-License-Identifier: Apache-2.0
import { unreachable } from "@coalmine/core";
import type { Command, ConfirmPolicy } from "./command.ts";
import type { Attempt, Report, ReportBody, SlotState } from "./report.ts";

const TEXT_MAX = 160;

/**
 * One line about a report, for people and logs: `boot 3 report 412 at 86000 s: heartbeat, …`.
 *
 * Safe to print whatever the report holds, also one that no decoder has seen: everything outside printable ASCII is
 * escaped and long texts are cut, so neither a terminal nor a log line can be taken over.
 */
export function describeReport(report: Report): string {
  const { boot, sequence, uptime_s, body } = report;
  return `boot ${boot} report ${sequence} at ${uptime_s} s: ${describeBody(body)}`;
}

/** One line about a command, as safe to print as `describeReport`. */
export function describeCommand(command: Command): string {
  switch (command.kind) {
    case "offer": {
      const { board, revision, partitionMap } = command.variant;
      return (
        `offer ${command.offer}: release ${plain(command.release)} (${plain(command.version)}) for ` +
        `${plain(`${board}/${revision}/${partitionMap}`)}, ${command.size} bytes, digest ${short(command.digest)}, ` +
        `image ${short(command.imageHash)}, within ${command.jitter_s} s, ${policy(command.confirm)}`
      );
    }
    case "cancel":
      return `cancel offer ${command.offer}`;
    case "swap-back":
      return `swap back to image ${short(command.imageHash)} (offer ${command.offer})`;
    case "confirm":
      return `offer ${command.offer}: ${policy(command.policy)}`;
    case "identify":
      return "identify";
    case "renumber":
      return `count boots on from ${command.boot}`;
    default:
      return unreachable(command);
  }
}

function describeBody(body: ReportBody): string {
  switch (body.kind) {
    case "hello": {
      const { board, revision, mode } = body.hardware;
      return [
        `hello from ${plain(`${board}/${revision}`)} (${mode})`,
        `runs ${slot(body.running)} build ${short(body.running.buildId)} ${confirmed(body.running.confirmed)}`,
        `slot 1 ${body.slot1 === null ? "empty" : slot(body.slot1)}`,
        `reset ${body.resetCause}`,
        body.attempt === null ? "no attempt" : attempt(body.attempt),
        `storage ${body.storageSchema}`,
        `every ${body.interval_s} s${pairs(body.attributes)}`,
      ].join(", ");
    }
    case "heartbeat":
      return [
        `heartbeat, image ${short(body.imageHash)} ${confirmed(body.confirmed)}`,
        body.battery === null ? "no battery" : `battery ${round(body.battery)} %`,
        `link ${round(body.linkUptime * 100)} %${pairs(body.metrics)}`,
      ].join(", ");
    case "progress":
      return `offer ${body.offer} ${body.state} at byte ${body.offset}`;
    case "deferred":
      return `offer ${body.offer} deferred for ${body.reason}, again in ${body.until_s} s`;
    case "result":
      return `result, ${attempt(body.attempt)}${body.reason === "" ? "" : `: ${plain(body.reason)}`}`;
    case "crash":
      return (
        `crash of build ${short(body.buildId)}, image ${short(body.imageHash)}, after ${body.uptime_s} s: ` +
        `${plain(body.reason)}, pc 0x${body.pc.toString(16)}, lr 0x${body.lr.toString(16)}`
      );
    case "log": {
      const total = body.total === 0 ? "?" : `${body.total}`;
      return (
        `${body.stream} ${body.id} of build ${short(body.buildId)}, ` +
        `bytes ${body.offset} to ${body.offset + body.data.length} of ${total}`
      );
    }
    default:
      return unreachable(body);
  }
}

function slot(state: SlotState): string {
  return `${plain(state.version)} ${short(state.imageHash)}`;
}

function attempt(last: Attempt): string {
  const ran = last.ran ? "ran" : "never ran";
  return `attempt of offer ${last.offer} to ${short(last.target)} ${last.outcome} (${ran}, reset ${last.resetCause})`;
}

function policy(confirm: ConfirmPolicy): string {
  const contact = confirm.serverContact ? " and contact with the server" : "";
  return `confirm after ${confirm.minUptime_s} s${contact}, revert after ${confirm.deadline_s} s`;
}

function confirmed(yes: boolean): string {
  return yes ? "confirmed" : "unconfirmed";
}

function pairs(entries: Readonly<Record<string, string | number>>): string {
  return Object.entries(entries)
    .map(([name, value]) => `, ${plain(name)}=${typeof value === "number" ? round(value) : plain(value)}`)
    .join("");
}

function round(value: number): string {
  return `${Number(value.toPrecision(6))}`;
}

/** The first 4 bytes in hex, as people compare hashes. */
function short(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function plain(text: string): string {
  const cut = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}...` : text;
  return cut.replaceAll(/[^ -~]/gu, (symbol) => `\\u{${(symbol.codePointAt(0) as number).toString(16)}}`);
}
