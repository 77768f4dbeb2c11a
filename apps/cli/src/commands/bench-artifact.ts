// SPDX-License-Identifier: Apache-2.0
// What a release's file costs before it is one: parsed and its signature verified, against the hash and the signature check alone;
// and served again in blocks, against copying the same bytes out of memory.
import { type DeviceId, instant } from "@coalmine/core";
import { buildImage, loadPublicKey, parseVersion, verifyImage } from "@coalmine/mcuboot";
import { Host, planFromData, planJudge } from "@coalmine/orchestrator";
import { encodeReport } from "@coalmine/protocol";
import { memoryArtifactStore, memoryEventLog } from "@coalmine/store";
import { createHash, generateKeyPairSync, sign, verify } from "node:crypto";
import { benchHello, benchVariant } from "./bench-board.ts";
import { arm, type BenchOptions, type BenchResult, compare } from "./bench-result.ts";

const imageBytes = 1024 * 1024;
const blockBytes = 4_096;
const verifies = 40;
const passes = 20;

export async function run(options: BenchOptions): Promise<BenchResult> {
  const keys = generateKeyPairSync("ed25519");
  const payload = Uint8Array.from({ length: imageBytes }, (_, at) => (at * 31) & 0xff);
  const image = buildImage({ version: parseVersion("1.1.0"), headerSize: 512, payload, key: keys.privateKey });
  const verifyRuns = { ours: [] as number[], bare: [] as number[] };
  const serveRuns = { ours: [] as number[], bare: [] as number[] };
  const trusted = [loadPublicKey(keys.publicKey)];
  const digest = createHash("sha256").update(image).digest();
  const signature = sign(null, digest, keys.privateKey);
  const serving = await hostWithOffer(image, trusted);
  for (let round = 0; round < options.runs; round += 1) {
    options.progress(`run ${round + 1} of ${options.runs}`);
    verifyRuns.ours.push(perSecond(verifies, () => {
      if (!verifyImage(image, trusted).ok) {
        throw new Error("the image does not verify");
      }
    }));
    // MCUboot's Ed25519 signs the image hash.
    verifyRuns.bare.push(perSecond(verifies, () => {
      if (!verify(null, createHash("sha256").update(image).digest(), keys.publicKey, signature)) {
        throw new Error("the signature does not verify");
      }
    }));
    serveRuns.ours.push(perSecond(passes, serving.pass) * serving.blocks);
    serveRuns.bare.push(perSecond(passes, () => {
      for (let at = 0; at < image.length; at += blockBytes) {
        image.slice(at, at + blockBytes);
      }
    }) * serving.blocks);
  }
  await serving.close();
  return {
    bench: "artifact",
    seed: options.seed,
    environment: { node: process.versions.node, imageBytes: image.length, blockBytes },
    measurements: [
      compare({ name: "images verified", unit: "images/s", better: "more" }, arm("parse, hash, key, signature", verifyRuns.ours), arm("SHA-256 and Ed25519 alone", verifyRuns.bare), { ratioLeast: 0.5 }),
      compare({ name: "blocks served", unit: "blocks/s", better: "more" }, arm("host, offer checked", serveRuns.ours), arm("copies of the bytes", serveRuns.bare)),
    ],
    notes: ["a block is served only to a device that holds an offer for exactly that artifact (R8): the host looks that up for each; links then copy and send"],
  };
}

/** A host with one device that was offered the image, and a pass over all of its blocks. */
async function hostWithOffer(image: Uint8Array, keys: Parameters<typeof Host.open>[0]["keys"]) {
  const clock = { now: () => instant(Date.UTC(2026, 0, 1)) };
  const host = Host.open({ log: memoryEventLog(), artifacts: memoryArtifactStore(), clock, judge: planJudge, keys });
  const device = "bench" as DeviceId;
  const body = benchHello(2 * imageBytes);
  await host.report(device, encodeReport({ boot: 1, sequence: 0, uptime_s: 1, body }), "virtual");
  const authority = { by: "bench", reason: "bench" };
  const release = await host.createRelease({ id: "1.1.0", artifacts: [{ variant: benchVariant, bytes: image }], authority });
  await host.startRollout({ release: release.id, plan: planFromData({ stages: ["100%"], gates: "default", representativeness: "warn" }), seed: 1, authority });
  const prefix = Uint8Array.fromHex(release.artifacts[0]?.digest ?? "").subarray(0, 8);
  return {
    blocks: Math.ceil(image.length / blockBytes),
    pass: (): void => {
      for (let offset = 0; offset < image.length; offset += blockBytes) {
        if (host.block(device, { request: 1, digest: prefix, offset, length: blockBytes }).kind !== "block") {
          throw new Error("a block was refused");
        }
      }
    },
    close: () => host.close(),
  };
}

function perSecond(times: number, work: () => void): number {
  work();
  const began = performance.now();
  for (let i = 0; i < times; i += 1) {
    work();
  }
  return (1_000 * times) / (performance.now() - began);
}
