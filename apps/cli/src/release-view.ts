// SPDX-License-Identifier: Apache-2.0
// A release and its preflight for people.
import type { Variant } from "@coalmine/core";
import { type MatrixResult, rangesText, schemaText } from "@coalmine/orchestrator";
import { facts, table } from "./output/table.ts";

export interface Release {
  readonly id: string;
  readonly version: string;
  readonly artifacts: readonly { readonly variant: Variant; readonly digest: string; readonly imageHash: string; readonly size: number }[];
  readonly notes: string;
  readonly storage: { readonly minRead: number; readonly maxRead: number; readonly writes: number } | null;
  readonly migration: boolean;
  readonly from: readonly { readonly min?: string; readonly max?: string }[];
  readonly hop: string | null;
  readonly matrix: (MatrixResult & { readonly by: string }) | null;
  readonly barred: string | null;
  readonly archived: { readonly at: string; readonly files: number; readonly bytes: number } | null;
  readonly neededBy: readonly string[];
}

export interface Preflight {
  readonly release: string;
  readonly version: string;
  readonly installable: number;
  readonly risky: number;
  readonly refused: number;
  readonly barred: string | null;
  readonly fromVersions: readonly { readonly version: string; readonly devices: number; readonly installable: number; readonly direction: string; readonly obstacles: readonly string[] }[];
  readonly hardware: readonly { readonly board: string; readonly revision: string; readonly mode: string; readonly devices: number; readonly size: number; readonly roomMax: number; readonly fits: boolean; readonly keepsRollbackImage: boolean; readonly revertWorks: boolean | null }[];
  readonly layout: {
    readonly migration: boolean;
    readonly changes: readonly { readonly what: string }[];
    readonly schemas: readonly { readonly schema: number; readonly devices: number; readonly outcome: string; readonly oneWayFrom: readonly string[] }[];
    readonly partitionMaps: readonly { readonly board: string; readonly revision: string; readonly partitionMap: string; readonly devices: number; readonly fits: boolean }[];
  };
  readonly hops: readonly { readonly release: string; readonly devices: number; readonly from: readonly string[] }[];
  readonly reasons: readonly { readonly reason: string; readonly devices: number }[];
  readonly devices: readonly unknown[];
}

/** One release. */
export function releaseText(one: Release): string {
  const head = facts([
    ["release", one.id],
    ["version", one.version],
    ["barred", one.barred === null ? "no" : { text: one.barred, tone: "bad" }],
    ["archived", one.archived === null ? "no" : `${one.archived.at}, ${one.archived.files} files of ${one.archived.bytes} bytes`],
    ...(one.archived === null ? [["may be archived", one.neededBy.length === 0 ? "yes" : one.neededBy.join("; ")] as const] : []),
    ["storage schema", one.storage === null ? "not declared" : `reads ${schemaText(one.storage)}, writes ${one.storage.writes}`],
    ...(one.migration ? [["migration", { text: "yes", tone: "warn" }] as const, ["matrix", matrixLine(one.matrix)] as const] : []),
    ...(one.from.length === 0 ? [] : [["installs over", `${rangesText(one.from)}${one.hop === null ? "" : `; others go through ${one.hop}`}`] as const]),
    ...(one.notes === "" ? [] : [["notes", one.notes] as const]),
  ]);
  const rows = one.artifacts.map(({ variant, size, imageHash, digest }) => [`${variant.board}/${variant.revision}/${variant.partitionMap}`, size, imageHash.slice(0, 16), digest.slice(0, 16)]);
  return `${head}\n\n${table([{ title: "VARIANT" }, { title: "BYTES", align: "right" }, { title: "IMAGE" }, { title: "FILE" }], rows)}`;
}

function matrixLine(matrix: Release["matrix"]): { readonly text: string; readonly tone: "good" | "bad" | "warn" } {
  if (matrix === null) {
    return { text: "none: it stays in its canary stage", tone: "warn" };
  }
  const tested = `${matrix.cells - matrix.failed} of ${matrix.cells} cells, ${matrix.boards} boards, from ${matrix.from.join(", ")}, by ${matrix.by}`;
  return matrix.ok ? { text: `green: ${tested}`, tone: "good" } : { text: `red: ${tested}; ${matrix.failures[0] ?? ""}`, tone: "bad" };
}

/** What preflight found, in as many lines as there is something to say. */
export function inShort({ installable, risky, refused, reasons, layout }: Omit<Preflight, "devices">): string {
  const all = installable + risky + refused;
  const head = all === 0 ? "no device has reported yet" : `${installable} of ${all} devices can install it, ${risky} perhaps, ${refused} not`;
  const marked = layout.migration ? [`a migration${layout.changes.length === 0 ? "" : `: ${layout.changes.map(({ what }) => what).join("; ")}`}`] : [];
  return [head, ...marked, ...reasons.map(({ devices, reason }) => `  ${devices}: ${reason}`)].join("\n");
}

/** The whole of a preflight but for its devices. */
export function preflightText(result: Preflight): string {
  const head = facts([
    ["release", `${result.release} (${result.version})`],
    ["installable", { text: String(result.installable), tone: "good" }],
    ["risky", { text: String(result.risky), tone: result.risky === 0 ? "strong" : "warn" }],
    ["refused", { text: String(result.refused), tone: result.refused === 0 ? "strong" : "bad" }],
    ["migration", result.layout.migration ? { text: result.layout.changes.map(({ what }) => what).join("; ") || "yes", tone: "warn" } : "no"],
    ...(result.barred === null ? [] : [["barred", { text: result.barred, tone: "bad" as const }] as const]),
  ]);
  const versions = table(
    [{ title: "FROM" }, { title: "DEVICES", align: "right" }, { title: "CAN", align: "right" }, { title: "AS" }, { title: "BUT", flexible: true }],
    result.fromVersions.map((from) => [from.version, from.devices, from.installable, from.direction, from.obstacles.join("; ") || "-"]),
  );
  const hardware = table(
    [{ title: "HARDWARE", flexible: true }, { title: "MODE" }, { title: "DEVICES", align: "right" }, { title: "BYTES", align: "right" }, { title: "ROOM", align: "right" }, { title: "WAY BACK" }],
    result.hardware.map((kind) => [
      `${kind.board} ${kind.revision}`,
      kind.mode,
      kind.devices,
      kind.fits ? kind.size : { text: String(kind.size), tone: "bad" as const },
      `<= ${kind.roomMax}`,
      `${kind.revertWorks === null ? "may revert" : kind.revertWorks ? "reverts" : "no revert"}, ${kind.keepsRollbackImage ? "keeps the old image" : "keeps nothing"}`,
    ]),
  );
  const layout = table(
    [{ title: "STORAGE SCHEMA", align: "right" }, { title: "DEVICES", align: "right" }, { title: "IS" }, { title: "NO WAY BACK TO" }],
    result.layout.schemas.map((held) => [
      held.schema === 0 ? "none" : held.schema,
      held.devices,
      held.outcome === "unreadable" ? { text: held.outcome, tone: "bad" as const } : held.outcome,
      held.oneWayFrom.join(", ") || "-",
    ]),
  );
  const foreign = result.layout.partitionMaps.filter((map) => !map.fits).map((map) => `\n${map.devices} devices of ${map.board} ${map.revision} have partition map ${map.partitionMap}: not in this release`);
  const hops = result.hops.map((hop) => `\nrelease ${hop.release} goes first for ${hop.devices} devices, from ${hop.from.join(", ")}`);
  const reasons = result.reasons.length === 0 ? "" : `\n\n${table([{ title: "DEVICES", align: "right" }, { title: "BECAUSE" }], result.reasons.map(({ devices, reason }) => [devices, reason]))}`;
  return `${head}\n\n${versions}\n\n${hardware}\n\n${layout}\n${[...foreign, ...hops].join("")}${reasons}`;
}
