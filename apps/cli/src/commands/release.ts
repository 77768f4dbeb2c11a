// SPDX-License-Identifier: Apache-2.0
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { about, exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { example } from "./example.ts";

interface Variant {
  readonly board: string;
  readonly revision: string;
  readonly partitionMap: string;
}

interface Release {
  readonly id: string;
  readonly version: string;
  readonly artifacts: readonly { readonly variant: Variant; readonly digest: string; readonly imageHash: string; readonly size: number }[];
  readonly notes: string;
  readonly barred: string | null;
}

interface Preflight {
  readonly release: string;
  readonly version: string;
  readonly installable: number;
  readonly risky: number;
  readonly refused: number;
  readonly barred: string | null;
  readonly fromVersions: readonly { readonly version: string; readonly devices: number; readonly installable: number; readonly direction: string; readonly obstacles: readonly string[] }[];
  readonly hardware: readonly { readonly board: string; readonly revision: string; readonly mode: string; readonly devices: number; readonly size: number; readonly roomMax: number; readonly fits: boolean; readonly keepsRollbackImage: boolean; readonly revertWorks: boolean | null }[];
  readonly reasons: readonly { readonly reason: string; readonly devices: number }[];
  readonly devices: readonly unknown[];
}

interface Offered {
  readonly variant: Variant;
  readonly file: string;
}

export function register(program: Command): void {
  const release = program.command("release").description("releases: a version with one signed artifact per variant");
  example(
    authorityOptions(clientOptions(release.command("create").description("upload artifacts and make a release of them; refused when one is not signed by a trusted key").argument("<id>")), { reason: "optional" })
      .requiredOption("--artifact <variant=file>", "signed image for one variant, BOARD/REVISION/PARTITIONMAP=FILE (repeatable)", gatherArtifacts)
      .option("--notes <text>", "release notes", "")
      .action(create),
    "coalmine release create 1.2.0 --artifact nrf52840dk/revA/pm1=revA.signed.bin --artifact nrf52840dk/revB/pm1=revB.signed.bin",
  );
  example(clientOptions(release.command("list").description("list releases")).action(list), "coalmine release list");
  example(clientOptions(release.command("show").description("show one release").argument("<id>")).action(show), "coalmine release show 1.2.0");
  example(
    clientOptions(release.command("preflight").description("which devices can install it, which cannot and why; ends with 1 when none can").argument("<id>")).action(preflight),
    "coalmine release preflight 1.2.0",
  );
}

/** Board names may hold slashes themselves; the last two parts are revision and partition map. */
function gatherArtifacts(text: string, earlier: readonly Offered[] | undefined): readonly Offered[] {
  const at = text.indexOf("=");
  const parts = text.slice(0, Math.max(0, at)).split("/");
  const [revision, partitionMap] = parts.slice(-2);
  const board = parts.slice(0, -2).join("/");
  if (board === "" || revision === undefined || partitionMap === undefined || partitionMap === "" || at === text.length - 1) {
    throw new InvalidArgumentError("Give BOARD/REVISION/PARTITIONMAP=FILE, such as nrf52840dk/revA/pm1=app.signed.bin.");
  }
  return [...(earlier ?? []), { variant: { board, revision, partitionMap }, file: text.slice(at + 1) }];
}

async function create(id: string, flags: ClientFlags & AuthorityFlags & { readonly artifact: readonly Offered[]; readonly notes: string }): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const client = clientOf(flags);
  const files = flags.artifact.map(({ variant, file }) => ({ variant, file, bytes: readBytes(file, { what: "artifact", bytesMax: 16 * 1024 * 1024 }) }));
  const artifacts = [];
  for (const { variant, file, bytes } of files) {
    try {
      const { digest } = await client.put<{ digest: string }>("/artifacts", bytes);
      artifacts.push({ variant, digest });
    } catch (error) {
      throw about(file, error);
    }
  }
  const made = await client.post<Release>("/releases", { id, artifacts, notes: flags.notes, ...authorityOf(flags) });
  const { devices: _devices, ...fleet } = await client.get<Preflight>(`${path`/releases/${id}/preflight`}?limit=1`);
  output(flags).result({ ...made, preflight: fleet }, () => `${describe(made)}\n\n${inShort(fleet)}`);
}

/** What preflight found, in as many lines as there is something to say. */
function inShort({ installable, risky, refused, reasons }: Omit<Preflight, "devices">): string {
  const all = installable + risky + refused;
  const head = all === 0 ? "no device has reported yet" : `${installable} of ${all} devices can install it, ${risky} perhaps, ${refused} not`;
  return [head, ...reasons.map(({ devices, reason }) => `  ${devices}: ${reason}`)].join("\n");
}

async function list(flags: ClientFlags): Promise<void> {
  const found = await clientOf(flags).get<{ releases: readonly Release[] }>("/releases");
  output(flags).result(found, () =>
    found.releases.length === 0
      ? "no releases"
      : table(
          [{ title: "RELEASE" }, { title: "VERSION" }, { title: "VARIANTS", align: "right" }, { title: "BARRED", flexible: true }],
          found.releases.map((one) => [one.id, one.version, one.artifacts.length, one.barred === null ? "-" : { text: one.barred, tone: "bad" as const }]),
        ),
  );
}

async function show(id: string, flags: ClientFlags): Promise<void> {
  const one = await clientOf(flags).get<Release>(path`/releases/${id}`);
  output(flags).result(one, () => describe(one));
}

function describe(one: Release): string {
  const head = facts([
    ["release", one.id],
    ["version", one.version],
    ["barred", one.barred === null ? "no" : { text: one.barred, tone: "bad" }],
    ...(one.notes === "" ? [] : [["notes", one.notes] as const]),
  ]);
  const rows = one.artifacts.map(({ variant, size, imageHash, digest }) => [`${variant.board}/${variant.revision}/${variant.partitionMap}`, size, imageHash.slice(0, 16), digest.slice(0, 16)]);
  return `${head}\n\n${table([{ title: "VARIANT" }, { title: "BYTES", align: "right" }, { title: "IMAGE" }, { title: "FILE" }], rows)}`;
}

async function preflight(id: string, flags: ClientFlags): Promise<void> {
  const client = clientOf(flags);
  const base = path`/releases/${id}/preflight`;
  const result = await client.get<Preflight>(`${base}?limit=1`);
  const { items } = await client.pages<unknown>(base, "devices", Number.POSITIVE_INFINITY);
  const { next: _next, ...shown } = { ...result, devices: items, next: null };
  output(flags).result(shown, () => {
    const head = facts([
      ["release", `${result.release} (${result.version})`],
      ["installable", { text: String(result.installable), tone: "good" }],
      ["risky", { text: String(result.risky), tone: result.risky === 0 ? "strong" : "warn" }],
      ["refused", { text: String(result.refused), tone: result.refused === 0 ? "strong" : "bad" }],
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
    const reasons = result.reasons.length === 0 ? "" : `\n\n${table([{ title: "DEVICES", align: "right" }, { title: "BECAUSE" }], result.reasons.map(({ devices, reason }) => [devices, reason]))}`;
    return `${head}\n\n${versions}\n\n${hardware}${reasons}`;
  });
  process.exitCode = result.installable + result.risky > 0 ? exitCodes.done : exitCodes.failed;
}
