// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { document } from "../output/document.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { toneOf } from "../output/text.ts";
import { gather, whole } from "./arguments.ts";
import { example } from "./example.ts";

interface Device {
  readonly id: string;
  readonly lastSeen: string;
  readonly firstSeen: string;
  readonly hardware: { readonly board: string; readonly revision: string; readonly partitionMap: string; readonly mode: string; readonly slotSize: number } | null;
  readonly running: { readonly version: string; readonly confirmed: boolean; readonly imageHash: string; readonly buildId: string } | null;
  readonly bootloader: { readonly keepsRollbackImage: boolean; readonly swapBackWorks: boolean; readonly revertWorks: boolean | null } | null;
  readonly slot1: { readonly version: string } | null;
  readonly attempt: { readonly outcome: string; readonly resetCause: string; readonly ran: boolean } | null;
  readonly resetCause: string;
  readonly interval_s: number;
  readonly battery: number | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly tags: readonly string[];
  readonly crashes: number;
  readonly reports: number;
  readonly storageSchema: number;
  readonly excluded: { readonly rollout: string; readonly release: string; readonly reason: string } | null;
  readonly quarantined: readonly string[];
  readonly release: string | null;
  readonly rollout: { readonly id: string; readonly stage: string; readonly state: string } | null;
}

interface ListFlags extends ClientFlags {
  readonly state?: string;
  readonly tag?: string;
  readonly hardware?: string;
  readonly release?: string;
  readonly firmware?: string;
  readonly text?: string;
  readonly limit: number;
}

export function register(program: Command): void {
  const device = program.command("device").description("the fleet: list, look at and tag devices");
  example(
    clientOptions(device.command("list").description("list devices by id"))
      .option("--state <state>", "only devices whose assignment is in this state")
      .option("--tag <tag>", "only devices with this tag")
      .option("--hardware <name>", "only this board or hardware revision")
      .option("--release <id>", "only devices that run this release")
      .option("--firmware <version>", "only devices that run this version")
      .option("--text <text>", "only ids that contain this")
      .option("--limit <n>", "at most this many", whole(1), 100)
      .action(list),
    "coalmine device list --tag beta --hardware revB",
  );
  example(
    clientOptions(device.command("inventory").description("the whole fleet as a document: versions, hardware, who can go back, every device (Markdown)"))
      .option("--out <file>", "write it to a file instead of stdout")
      .action(async (flags: ClientFlags & { readonly out?: string }) => document(await clientOf(flags).text("/fleet/inventory", "text/markdown"), {}, flags)),
    "coalmine device inventory --out fleet.md",
  );
  example(clientOptions(device.command("show").description("show all that is known of one device").argument("<id>")).action(show), "coalmine device show bench-17 --json");
  example(
    authorityOptions(clientOptions(device.command("tag").description("add and remove tags").argument("<id...>", "devices")), { reason: "optional" })
      .option("--add <tag>", "tag to add (repeatable)", gather)
      .option("--remove <tag>", "tag to remove (repeatable)", gather)
      .action(tag),
    "coalmine device tag bench-17 bench-18 --add lab --reason 'moved to the lab'",
  );
}

async function list(flags: ListFlags): Promise<void> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ state: flags.state, tag: flags.tag, hardware: flags.hardware, release: flags.release, version: flags.firmware, text: flags.text })) {
    if (value !== undefined) {
      query.set(name, value);
    }
  }
  const { items, total, more } = await clientOf(flags).pages<Device>(`/devices?${query.toString()}`, "devices", flags.limit);
  output(flags).result({ devices: items, total }, () => {
    if (items.length === 0) {
      return "no device matches";
    }
    const rows = items.map((one) => [
      one.id,
      one.hardware === null ? "unknown" : `${one.hardware.board} ${one.hardware.revision}`,
      `${one.running?.version ?? "?"}${one.running?.confirmed === false ? " (trial)" : ""}`,
      one.rollout === null ? { text: "-" } : { text: `${one.rollout.id} ${one.rollout.state}`, tone: toneOf(one.rollout.state) },
      one.lastSeen.slice(0, 19),
      one.crashes,
      one.tags.join(" "),
    ]);
    const columns = [
      { title: "DEVICE", flexible: true },
      { title: "HARDWARE", flexible: true },
      { title: "RUNS" },
      { title: "ROLLOUT" },
      { title: "LAST SEEN" },
      { title: "CRASHES", align: "right" as const },
      { title: "TAGS", flexible: true },
    ];
    return `${table(columns, rows)}${more ? `\n${items.length} of ${total}; --limit shows more` : ""}`;
  });
}

async function show(id: string, flags: ClientFlags): Promise<void> {
  const one = await clientOf(flags).get<Device>(path`/devices/${id}`);
  output(flags).result(one, () => {
    const { hardware, running } = one;
    return facts([
      ["device", one.id],
      ["hardware", hardware === null ? "unknown" : `${hardware.board} ${hardware.revision}, partition map ${hardware.partitionMap}, ${hardware.mode}, slots of ${hardware.slotSize} bytes`],
      ["runs", running === null ? "unknown" : `${running.version || "?"} ${running.confirmed ? "confirmed" : "on trial"}, image ${running.imageHash.slice(0, 16)}, build ${running.buildId.slice(0, 16)}`],
      ["release", one.release ?? "none of ours"],
      ["other slot", one.slot1?.version ?? "empty"],
      ["way back", wayBack(one)],
      ["last attempt", one.attempt === null ? "none" : `${one.attempt.outcome}, reset by ${one.attempt.resetCause}`],
      ["rollout", one.rollout === null ? "none" : { text: `${one.rollout.id}, stage ${one.rollout.stage}: ${one.rollout.state}`, tone: toneOf(one.rollout.state) }],
      ["seen", `${one.firstSeen} to ${one.lastSeen}, every ${one.interval_s} s, ${one.reports} reports`],
      ["battery", one.battery === null ? "none" : `${one.battery} %`],
      ["crashes", one.crashes],
      ["tags", one.tags.join(" ") || "none"],
      ["attributes", Object.entries(one.attributes).map(([name, value]) => `${name}=${value}`).join(" ") || "none"],
      ["metrics", Object.entries(one.metrics).map(([name, value]) => `${name}=${value}`).join(" ") || "none"],
      ["storage schema", one.storageSchema === 0 ? "none" : one.storageSchema],
      ...(one.excluded === null ? [] : [["left out", { text: `of ${one.excluded.rollout} (${one.excluded.release}): ${one.excluded.reason}`, tone: "warn" as const }] as const]),
      ["quarantined for", one.quarantined.join(" ") || "nothing"],
    ]);
  });
}

/** Whether a bad image is undone, and whether the previous one can be ordered back. */
function wayBack({ hardware, bootloader, slot1 }: Device): string {
  if (hardware === null || bootloader === null) {
    return "unknown";
  }
  const { keepsRollbackImage, swapBackWorks, revertWorks } = bootloader;
  const revert = revertWorks === null ? "reverts if it was built to" : revertWorks ? "an unconfirmed image reverts" : "an unconfirmed image stays";
  const image = !keepsRollbackImage
    ? `${hardware.mode} keeps no rollback image`
    : swapBackWorks
      ? `swap-back ${slot1 === null ? "works, but the other slot is empty" : `to ${slot1.version} works`}`
      : `no swap-back in ${hardware.mode}: a rollback is a download`;
  return `${revert}; ${image}`;
}

async function tag(ids: readonly string[], flags: ClientFlags & AuthorityFlags & { readonly add?: readonly string[]; readonly remove?: readonly string[] }): Promise<void> {
  const client = clientOf(flags);
  const devices: Device[] = [];
  for (const id of ids) {
    devices.push(await client.post<Device>(path`/devices/${id}/tags`, { add: flags.add ?? [], remove: flags.remove ?? [], ...authorityOf(flags) }));
  }
  output(flags).result({ devices }, () => devices.map((one) => `${one.id}: ${one.tags.join(" ") || "no tags"}`).join("\n"));
}
