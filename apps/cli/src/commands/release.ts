// SPDX-License-Identifier: Apache-2.0
import { parseVariant, type Variant } from "@coalmine/core";
import type { Manifest } from "@coalmine/orchestrator";
import { type Command, InvalidArgumentError } from "commander";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { about, badUsage, exitCodes } from "../output/exit.ts";
import { document } from "../output/document.ts";
import { output } from "../output/output.ts";
import { table } from "../output/table.ts";
import type { Preflight, Release } from "../release-view.ts";
import { example } from "./example.ts";

interface Offered {
  readonly variant: Variant;
  readonly file: string;
  readonly format?: "swu";
}

export function register(program: Command): void {
  const release = program.command("release").description("releases: a version with one signed artifact per variant");
  example(
    authorityOptions(clientOptions(release.command("create").description("upload artifacts and make a release of them; refused when one is not signed by a trusted key").argument("[id]", "else the id that the manifest gives")), { reason: "optional" })
      .option("--manifest <file>", "YAML: artifacts, notes, storage schema, versions it may be installed over")
      .option("--artifact <variant=file>", "signed image for one variant, BOARD/REVISION/PARTITIONMAP=FILE (repeatable)", gatherArtifacts)
      .option("--swu <variant=file>", "SWUpdate archive for one variant of DDI devices; its client checks the signature (repeatable)", (text: string, earlier: readonly Offered[] | undefined) =>
        gatherArtifacts(text, undefined).map((one): Offered => ({ ...one, format: "swu" })).concat(earlier ?? []),
      )
      .option("--notes <text>", "release notes")
      .option("--override", "register a migration that changes more than one thing at once; needs --reason")
      .action(create),
    "coalmine release create 1.2.0 --artifact nrf52840dk/revA/pm1=revA.signed.bin --artifact nrf52840dk/revB/pm1=revB.signed.bin",
  );
  example(clientOptions(release.command("list").description("list releases")).action(list), "coalmine release list");
  example(clientOptions(release.command("show").description("show one release").argument("<id>")).action(show), "coalmine release show 1.2.0");
  example(
    authorityOptions(clientOptions(release.command("attest").description("record what a release's migration matrix found, as migrate test --out writes it or a rig with boards").argument("<id>")), { reason: "optional" })
      .requiredOption("--matrix <file>", "the matrix (JSON)")
      .action(attest),
    "coalmine release attest 1.2.0 --matrix matrix.json --reason 'run on the bench'",
  );
  example(
    clientOptions(release.command("preflight").description("which devices can install it, which cannot and why; ends with 1 when none can").argument("<id>")).action(preflight),
    "coalmine release preflight 1.2.0",
  );
  example(
    authorityOptions(clientOptions(release.command("archive").description("close a release out: archive with checksums, restore test, then its files leave the store; refused while something needs it").argument("<id>")), { reason: "needed" }).action(archive),
    "coalmine release archive 1.1.0 --reason 'nobody runs it any more'",
  );
  example(
    authorityOptions(clientOptions(release.command("restore").description("take an archived release back, checksums compared").argument("<id>")), { reason: "needed" }).action(restore),
    "coalmine release restore 1.1.0 --reason 'needed for a rollback'",
  );
  example(
    clientOptions(release.command("notes").description("release notes from the event log: artifacts, rollouts, decisions (Markdown)").argument("<id>")).option("--out <file>", "write it to a file instead of stdout").action(notes),
    "coalmine release notes 1.2.0 --out notes.md",
  );
  example(
    authorityOptions(clientOptions(release.command("symbols").description("keep the ELF of a build with its release: crashes get the names of functions").argument("<id>").argument("<elf>", "zephyr.elf, unstripped")), { reason: "optional" })
      .option("--build <id>", "build id that devices report, in hex; else the GNU build id of the file")
      .action(symbols),
    "coalmine release symbols 1.2.0 build/zephyr/zephyr.elf",
  );
}

function gatherArtifacts(text: string, earlier: readonly Offered[] | undefined): readonly Offered[] {
  const at = text.indexOf("=");
  const variant = parseVariant(text.slice(0, Math.max(0, at)));
  if (variant === undefined || at === text.length - 1) {
    throw new InvalidArgumentError("Give BOARD/REVISION/PARTITIONMAP=FILE, such as nrf52840dk/revA/pm1=app.signed.bin.");
  }
  return [...(earlier ?? []), { variant, file: text.slice(at + 1) }];
}

interface CreateFlags extends ClientFlags, AuthorityFlags {
  readonly manifest?: string;
  readonly artifact?: readonly Offered[];
  readonly swu?: readonly Offered[];
  readonly notes?: string;
  readonly override?: true;
}

interface AttestFlags extends ClientFlags, AuthorityFlags {
  readonly matrix: string;
}

/** Records a matrix that ran elsewhere: the file that `migrate test --out` writes, or its part `result`, from a rig with boards. */
async function attest(id: string, flags: AttestFlags): Promise<void> {
  const { readJson } = await import("../files.ts");
  const data = readJson(flags.matrix, { what: "the matrix" });
  const matrix = typeof data === "object" && data !== null && "result" in data ? data.result : data;
  let one: Release;
  try {
    one = await clientOf(flags).post<Release>(path`/releases/${id}/matrix`, { matrix, ...authorityOf(flags) });
  } catch (error) {
    throw about(flags.matrix, error);
  }
  const { releaseText } = await import("../release-view.ts");
  output(flags).result(one, () => releaseText(one));
}

/** What the manifest and the flags say together; flags win, artifacts add up. */
async function describeRelease(given: string | undefined, flags: CreateFlags): Promise<Omit<Manifest, "artifacts"> & { readonly id: string; readonly artifacts: readonly Offered[] }> {
  const { readText } = await import("../files.ts");
  const { parseManifest } = await import("@coalmine/orchestrator");
  const manifest = flags.manifest === undefined ? undefined : parseManifest(readText(flags.manifest, { what: "manifest" }), flags.manifest);
  const folder = dirname(flags.manifest ?? ".");
  const artifacts: Offered[] = [...(manifest?.artifacts ?? []).map((one) => ({ ...one, file: resolve(folder, one.file) })), ...(flags.artifact ?? []), ...(flags.swu ?? [])];
  const id = given ?? manifest?.id;
  if (id === undefined) {
    throw badUsage("give the release's id: as an argument, or as `id` in the manifest");
  }
  if (artifacts.length === 0) {
    throw badUsage(`release ${id} has no artifact: give --artifact or --swu VARIANT=FILE, or \`artifacts\` in the manifest`);
  }
  return { ...manifest, id, artifacts, notes: flags.notes ?? manifest?.notes ?? "" };
}

async function create(given: string | undefined, flags: CreateFlags): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const client = clientOf(flags);
  const { artifacts: wanted, ...rest } = await describeRelease(given, flags);
  const files = wanted.map(({ file, ...one }) => ({ ...one, file, bytes: readBytes(file, { what: "artifact", bytesMax: 16 * 1024 * 1024 }) }));
  const artifacts = [];
  for (const { file, bytes, ...one } of files) {
    try {
      const { digest } = await client.put<{ digest: string }>(one.format === undefined ? "/artifacts" : `/artifacts?format=${one.format}`, bytes);
      artifacts.push({ ...one, digest });
    } catch (error) {
      throw about(file, error);
    }
  }
  const made = await client.post<Release>("/releases", { ...rest, artifacts, ...(flags.override === true ? { override: true } : {}), ...authorityOf(flags) });
  const { devices: _devices, ...fleet } = await client.get<Preflight>(`${path`/releases/${made.id}/preflight`}?limit=1`);
  const { inShort, releaseText } = await import("../release-view.ts");
  output(flags).result({ ...made, preflight: fleet }, () => `${releaseText(made)}\n\n${inShort(fleet)}`);
}

async function list(flags: ClientFlags): Promise<void> {
  const found = await clientOf(flags).get<{ releases: readonly Release[] }>("/releases");
  output(flags).result(found, () =>
    found.releases.length === 0
      ? "no releases"
      : table(
          [{ title: "RELEASE" }, { title: "VERSION" }, { title: "VARIANTS", align: "right" }, { title: "BARRED", flexible: true }, { title: "MAY BE ARCHIVED", flexible: true }],
          found.releases.map((one) => [one.id, one.version, one.artifacts.length, one.barred === null ? "-" : { text: one.barred, tone: "bad" as const }, archivable(one)]),
        ),
  );
}

function archivable(one: Release): string {
  if (one.archived !== null) {
    return `archived ${one.archived.at.slice(0, 10)}`;
  }
  return one.neededBy.length === 0 ? "yes" : `no: ${one.neededBy.join("; ")}`;
}

async function archive(id: string, flags: ClientFlags & AuthorityFlags): Promise<void> {
  const done = await clientOf(flags).post<{ release: Release; files: readonly { readonly name: string; readonly size: number; readonly sha256: string }[] }>(path`/releases/${id}/archive`, authorityOf(flags));
  output(flags).result(
    done,
    () => `${table([{ title: "FILE" }, { title: "BYTES", align: "right" }, { title: "SHA-256" }], done.files.map((file) => [file.name, file.size, file.sha256]))}\n\nrelease ${id} is archived; every file was read back and has its checksum`,
  );
}

async function restore(id: string, flags: ClientFlags & AuthorityFlags): Promise<void> {
  const one = await clientOf(flags).post<Release>(path`/releases/${id}/restore`, authorityOf(flags));
  output(flags).result(one, () => `release ${one.id} is back: checksums compared, ${one.artifacts.length} artifacts at hand`);
}

async function notes(id: string, flags: ClientFlags & { readonly out?: string }): Promise<void> {
  const text = await clientOf(flags).text(path`/releases/${id}/notes`, "text/markdown");
  await document(text, { release: id }, flags);
}

async function show(id: string, flags: ClientFlags): Promise<void> {
  const one = await clientOf(flags).get<Release>(path`/releases/${id}`);
  const { releaseText } = await import("../release-view.ts");
  output(flags).result(one, () => releaseText(one));
}

async function preflight(id: string, flags: ClientFlags): Promise<void> {
  const client = clientOf(flags);
  const base = path`/releases/${id}/preflight`;
  const result = await client.get<Preflight>(`${base}?limit=1`);
  const { items } = await client.pages<unknown>(base, "devices", Number.POSITIVE_INFINITY);
  const { next: _next, ...shown } = { ...result, devices: items, next: null };
  const { preflightText } = await import("../release-view.ts");
  output(flags).result(shown, () => preflightText(result));
  process.exitCode = result.installable + result.risky > 0 ? exitCodes.done : exitCodes.failed;
}

async function symbols(id: string, elf: string, flags: ClientFlags & AuthorityFlags & { readonly build?: string }): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const query = new URLSearchParams({ ...authorityOf(flags), ...(flags.build === undefined ? {} : { build: flags.build }) });
  const bytes = readBytes(elf, { what: "ELF", bytesMax: 32 * 1024 * 1024 });
  const added = await clientOf(flags).put<{ release: string; buildId: string; symbols: number }>(`${path`/releases/${id}/symbols`}?${query.toString()}`, bytes);
  output(flags).result(added, () => `release ${added.release}: ${added.symbols} symbols of build ${added.buildId}`);
}
