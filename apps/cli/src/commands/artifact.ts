// SPDX-License-Identifier: Apache-2.0
import type { ImageDependency, KeyKind } from "@coalmine/mcuboot";
import { type Command, InvalidArgumentError, Option } from "commander";
import process from "node:process";
import { badUsage, exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { tone } from "../output/text.ts";
import { gather, whole } from "./arguments.ts";
import { example } from "./example.ts";

interface JsonFlag {
  readonly json?: true;
}

interface VerifyFlags extends JsonFlag {
  readonly key: readonly string[];
  readonly slotSize?: number;
}

interface SignFlags extends JsonFlag {
  readonly key: string;
  readonly version: string;
  readonly headerSize: number;
  readonly slotSize: number;
  readonly align: number;
  readonly maxSectors: number;
  readonly pad?: true;
  readonly confirm?: true;
  readonly padHeader?: true;
  readonly overwriteOnly?: true;
  readonly securityCounter?: number;
  readonly loadAddr?: number;
  readonly dependency?: readonly ImageDependencyText[];
  readonly out: string;
}

interface ImageDependencyText {
  readonly image: number;
  readonly version: string;
}

const keyKinds: readonly KeyKind[] = ["ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072"];
const artifactBytesMax = 64 * 1024 * 1024;

export function register(program: Command): void {
  const artifact = program.command("artifact").description("MCUboot images: look at, verify, sign");
  example(
    artifact.command("info").description("what an image says of itself; judges nothing").argument("<file>").option("--json", "one JSON document on stdout").action(info),
    "coalmine artifact info app.signed.bin",
  );
  example(
    artifact
      .command("verify")
      .description("whether a bootloader with these keys would run it: exit code 0 or 1")
      .argument("<file>")
      .requiredOption("--key <file>", "public key, PEM or DER (repeatable)", gather)
      .option("--slot-size <bytes>", "slot it is for", whole(1))
      .option("--json", "one JSON document on stdout: {ok, reason, ...}")
      .action(verify),
    "coalmine artifact verify app.signed.bin --key release.pub.pem",
  );
  example(
    artifact
      .command("sign")
      .description("make a signed image of a binary")
      .argument("<file>", "binary; its first header-size bytes are the header's room when they are all zero, else the header is put before it")
      .requiredOption("--key <file>", "private key, PEM")
      .requiredOption("--version <version>", "major.minor.revision+build")
      .requiredOption("--header-size <bytes>", "offset of the program in the image", whole(32, 0xffff))
      .requiredOption("--slot-size <bytes>", "slot it must fit, trailer included", whole(1))
      .option("--align <bytes>", "write alignment of the slot", whole(1, 1024), 8)
      .option("--max-sectors <n>", "MCUBOOT_MAX_IMG_SECTORS", whole(1, 65_536), 128)
      .option("--pad", "pad to the slot with a trailer that asks for a test swap")
      .option("--confirm", "pad, and mark the image permanent")
      .option("--pad-header", "always put the header before the binary")
      .option("--overwrite-only", "the bootloader overwrites instead of swapping")
      .option("--security-counter <n>", "protected security counter", whole(0, 0xffff_ffff))
      .option("--load-addr <address>", "load address", whole(0, 0xffff_ffff))
      .option("--dependency <image:version>", "needs another image at this version or later (repeatable)", gatherDependencies)
      .requiredOption("--out <file>", "where to write it")
      .option("--json", "one JSON document on stdout")
      .action(sign),
    "coalmine artifact sign zephyr.bin --key release.pem --version 1.2.0 --header-size 0x200 --slot-size 0x60000 --out app.signed.bin",
  );
  example(
    artifact
      .command("reversion")
      .description("the same program under a higher version, signed again: a way back past downgrade prevention")
      .argument("<file>", "signed image of the build to go back to")
      .requiredOption("--key <file>", "private key, PEM")
      .requiredOption("--version <version>", "major.minor.revision+build, above the version that runs now")
      .option("--security-counter <n>", "instead of the one it carries", whole(0, 0xffff_ffff))
      .requiredOption("--out <file>", "where to write it")
      .option("--json", "one JSON document on stdout")
      .action(reversion),
    "coalmine artifact reversion 1.1.0.signed.bin --version 1.2.1 --key release.pem --out 1.2.1.signed.bin",
  );
  example(
    artifact
      .command("keygen")
      .description("make a key pair: the private key in FILE, the public one beside it")
      .addOption(new Option("--type <type>", "kind of key").choices(keyKinds).makeOptionMandatory())
      .requiredOption("--out <file>", "private key (PEM, PKCS#8); must not exist. The public key goes to the same name with .pub.pem")
      .option("--json", "one JSON document on stdout")
      .action(keygen),
    "coalmine artifact keygen --type ed25519 --out release.pem",
  );
}

/** `1:1.2.3+0`, or imgtool's `(1, 1.2.3+0)`. */
function gatherDependencies(text: string, earlier: readonly ImageDependencyText[] | undefined): readonly ImageDependencyText[] {
  const match = /^(?:\(\s*(\d{1,3})\s*,\s*([0-9.+]+)\s*\)|(\d{1,3}):([0-9.+]+))$/.exec(text);
  if (match === null) {
    throw new InvalidArgumentError("Give IMAGE:VERSION, such as 1:1.2.0.");
  }
  return [...(earlier ?? []), { image: Number(match[1] ?? match[3]), version: (match[2] ?? match[4]) as string }];
}

async function info(file: string, flags: JsonFlag): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const { describeImage } = await import("../artifact-info.ts");
  const bytes = readBytes(file, { what: "artifact", bytesMax: artifactBytesMax });
  const shown = describeImage(bytes);
  if (shown.kind === "malformed") {
    throw badUsage(`${file} is no MCUboot image: ${shown.reason} (at byte ${shown.offset})`);
  }
  output(flags).result(shown, () => {
    const head = facts([
      ["version", shown.version],
      ["file", `${shown.fileSize} bytes, sha256 ${shown.digest}`],
      ["image", `${shown.totalSize} bytes: header ${shown.headerSize}, program ${shown.programSize}, protected TLVs ${shown.protectedTlvSize}, TLVs ${shown.tlvSize}`],
      ["image hash", shown.imageHash === null ? { text: "none", tone: "bad" } : shown.hashMatches ? { text: `${shown.imageHash} (matches)`, tone: "good" } : { text: `${shown.imageHash} (does not match the bytes)`, tone: "bad" }],
      ["build id", shown.buildId ?? "none"],
      ["signatures", shown.signatures.length === 0 ? { text: "none", tone: "warn" } : shown.signatures.join(", ")],
      ["key hashes", shown.keyHashes.join(", ") || "none"],
      ["security counter", shown.securityCounter ?? "none"],
      ["dependencies", shown.dependencies.map((one) => `image ${one.image} at ${one.version} or later`).join(", ") || "none"],
      ["flags", shown.flags.join(", ") || "none"],
      ["load address", `0x${shown.loadAddr.toString(16)}`],
      ["after the image", shown.padding],
    ]);
    return `${head}\n\n${table([{ title: "TLV" }, { title: "AT", align: "right" }, { title: "BYTES", align: "right" }, { title: "SIGNED" }], shown.tlvs.map((tlv) => [tlv.type, tlv.offset, tlv.size, tlv.protected ? "yes" : "no"]))}`;
  });
}

async function verify(file: string, flags: VerifyFlags): Promise<void> {
  const { readBytes } = await import("../files.ts");
  const { formatVersion, verifyImage } = await import("@coalmine/mcuboot");
  const { readPublicKey } = await import("../keys.ts");
  const keys = flags.key.map(readPublicKey);
  const bytes = readBytes(file, { what: "artifact", bytesMax: artifactBytesMax });
  const result = verifyImage(bytes, keys, flags.slotSize === undefined ? {} : { slotSize: flags.slotSize });
  const shown = result.ok
    ? { ok: true, reason: null, version: formatVersion(result.version), imageHash: result.imageHash.toHex(), key: result.keyIndex === undefined ? null : flags.key[result.keyIndex] }
    : { ok: false, reason: result.reason, version: null, imageHash: null, key: null };
  output(flags).result(shown, () => (shown.ok ? `${tone("good", "ok")}: version ${shown.version}, signed by ${shown.key}` : `${tone("bad", "refused")}: ${shown.reason}`));
  process.exitCode = result.ok ? exitCodes.done : exitCodes.failed;
}

async function sign(file: string, flags: SignFlags): Promise<void> {
  const { readBytes, writeBytes } = await import("../files.ts");
  const { buildImage, padImage, parseImage, parseVersion, formatVersion, verifyImage, loadPublicKey } = await import("@coalmine/mcuboot");
  const { readSigningKey } = await import("../keys.ts");
  const key = readSigningKey(flags.key);
  const binary = readBytes(file, { what: "binary", bytesMax: artifactBytesMax });
  if (parseImage(binary).kind === "image") {
    throw badUsage(`${file} is an MCUboot image already; sign the plain binary`);
  }
  const out = output(flags);
  const hasRoom = flags.padHeader !== true && binary.length > flags.headerSize && binary.subarray(0, flags.headerSize).every((byte) => byte === 0);
  if (!hasRoom && flags.padHeader !== true) {
    out.note(`${file} does not begin with ${flags.headerSize} zero bytes: the header is put before it (the program must be linked for that)`);
  }
  const dependencies = (flags.dependency ?? []).map((one): ImageDependency => ({ image: one.image, version: parseVersion(one.version) }));
  const version = parseVersion(flags.version);
  const image = buildImage({
    version,
    payload: hasRoom ? binary.subarray(flags.headerSize) : binary,
    headerSize: flags.headerSize,
    key,
    ...(flags.securityCounter === undefined ? {} : { securityCounter: flags.securityCounter }),
    ...(flags.loadAddr === undefined ? {} : { loadAddr: flags.loadAddr }),
    ...(dependencies.length === 0 ? {} : { dependencies }),
  });
  // As imgtool: alignments beyond 8 bytes raise the bootloader's maximum with them.
  const slot = { slotSize: flags.slotSize, align: flags.align, maxAlign: Math.max(8, flags.align), maxImgSectors: flags.maxSectors, overwriteOnly: flags.overwriteOnly === true };
  const padded = padImage(image, { ...slot, confirm: flags.confirm === true });
  const bytes = flags.pad === true || flags.confirm === true ? padded : image;
  const verified = verifyImage(image, [loadPublicKey(key)]);
  if (!verified.ok) {
    throw new Error(`the image just signed does not verify: ${verified.reason}`);
  }
  writeBytes(flags.out, bytes, { what: "the image" });
  const { createHash } = await import("node:crypto");
  const made = {
    out: flags.out,
    version: formatVersion(version),
    size: bytes.length,
    imageSize: image.length,
    padded: bytes !== image,
    confirmed: flags.confirm === true,
    digest: createHash("sha256").update(bytes).digest("hex"),
    imageHash: verified.imageHash.toHex(),
  };
  out.result(made, () => `${made.out}: version ${made.version}, ${made.size} bytes, image ${made.imageHash}`);
}

async function reversion(file: string, flags: JsonFlag & { readonly key: string; readonly version: string; readonly securityCounter?: number; readonly out: string }): Promise<void> {
  const { readBytes, writeBytes } = await import("../files.ts");
  const { compareVersion, formatVersion, loadPublicKey, parseVersion, reversionImage, verifyImage } = await import("@coalmine/mcuboot");
  const { readSigningKey } = await import("../keys.ts");
  const key = readSigningKey(flags.key);
  const version = parseVersion(flags.version);
  const bytes = readBytes(file, { what: "artifact", bytesMax: artifactBytesMax });
  const { image, from, caveats } = reversionImage(bytes, { version, key, securityCounter: flags.securityCounter });
  if (compareVersion(version, from.version, { build: true }) <= 0) {
    throw badUsage(`--version ${flags.version} is not above the ${formatVersion(from.version)} of ${file}: a bootloader that prevents downgrades would refuse it all the same`);
  }
  const verified = verifyImage(image, [loadPublicKey(key)]);
  if (!verified.ok) {
    throw new Error(`the image just signed does not verify: ${verified.reason}`);
  }
  writeBytes(flags.out, image, { what: "the image" });
  const { createHash } = await import("node:crypto");
  const made = {
    out: flags.out,
    from: formatVersion(from.version),
    version: formatVersion(version),
    size: image.length,
    digest: createHash("sha256").update(image).digest("hex"),
    imageHash: verified.imageHash.toHex(),
    caveats: [...caveats],
  };
  output(flags).result(made, () => `${made.out}: the program of ${made.from} as version ${made.version}, ${made.size} bytes, image ${made.imageHash}\n${caveats.map((caveat) => `  - ${caveat}`).join("\n")}`);
}

async function keygen(flags: JsonFlag & { readonly type: KeyKind; readonly out: string }): Promise<void> {
  const { existsSync } = await import("node:fs");
  const { writeBytes } = await import("../files.ts");
  const { generateKeys } = await import("../keys.ts");
  const publicFile = `${flags.out.replace(/\.(pem|key)$/, "")}.pub.pem`;
  for (const file of [flags.out, publicFile]) {
    if (existsSync(file)) {
      throw badUsage(`${file} exists; keygen replaces no key`);
    }
  }
  const keys = generateKeys(flags.type);
  writeBytes(flags.out, keys.privatePem, { what: "the private key", secret: true });
  writeBytes(publicFile, keys.publicPem, { what: "the public key", replace: false });
  output(flags).result({ type: flags.type, private: flags.out, public: publicFile, keyHash: keys.hash }, () =>
    facts([
      ["private key", `${flags.out}: keep it away from the orchestrator`],
      ["public key", publicFile],
      ["key hash", keys.hash],
    ]),
  );
}
