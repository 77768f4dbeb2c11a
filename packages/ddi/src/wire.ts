// SPDX-License-Identifier: Apache-2.0
// The JSON of hawkBit's Direct Device Integration API v1 (hawkBit documentation, "DDI API"), as its stock clients read it:
// SWUpdate 2022.12 wants a `download-http` link without TLS, `sha1` and `size`; Zephyr's client wants exactly one chunk
// `bApp` with one artifact, `sha256`, a `sleep` of eight characters, and links that hold its tenant's path.
import type { Offer } from "@coalmine/protocol";
import { z } from "zod";

const text = (max: number) => z.string().max(max);

/** Feedback on a deployment or a cancellation. Fields that no decision rests on are not read. */
export const feedbackShape = z.object({
  id: z.union([text(20), z.number()]).optional(),
  status: z.object({
    execution: z.enum(["closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "download", "downloaded"]),
    result: z.object({ finished: z.enum(["success", "failure", "none"]) }),
    details: z.array(text(4_096)).max(64).default([]),
  }),
});

export const configShape = z.object({
  mode: z.enum(["merge", "replace", "remove"]).default("merge"),
  data: z.record(text(128), z.union([text(512), z.number(), z.boolean(), z.null()]).transform((value) => String(value ?? ""))),
});

/** `HH:MM:SS`, at least a second, less than a day. */
function sleepText(seconds: number): string {
  const whole = Math.max(1, Math.min(86_399, Math.round(seconds)));
  return [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0")).join(":");
}

export interface Polled {
  readonly sleep_s: number;
  readonly base: string;
  readonly deployment: { readonly id: number; readonly tag: string } | null;
  readonly cancelling: number | null;
  readonly wantsConfig: boolean;
}

/** The root resource: when to come again, and what there is to do. A cancellation hides the deployment, as in hawkBit. */
export function rootJson({ sleep_s, base, deployment, cancelling, wantsConfig }: Polled): object {
  return {
    config: { polling: { sleep: sleepText(sleep_s) } },
    _links: {
      ...(cancelling === null ? {} : { cancelAction: { href: `${base}/cancelAction/${cancelling}` } }),
      ...(cancelling !== null || deployment === null ? {} : { deploymentBase: { href: `${base}/deploymentBase/${deployment.id}?c=${deployment.tag}` } }),
      ...(wantsConfig ? { configData: { href: `${base}/configData` } } : {}),
    },
  };
}

export interface FileNames {
  readonly name: string;
  readonly sha1: string;
  readonly md5: string;
  readonly sha256: string;
}

export function deploymentJson(offer: Offer, file: FileNames, base: string): object {
  const href = `${base}/softwaremodules/${offer.offer}/artifacts/${file.name}`;
  const links = (suffix: string) => ({ [`download${suffix}`]: { href }, [`md5sum${suffix}`]: { href: `${href}.MD5SUM` } });
  return {
    id: String(offer.offer),
    deployment: {
      download: "forced",
      update: "forced",
      chunks: [
        {
          part: "bApp",
          version: offer.version,
          name: offer.release,
          artifacts: [
            {
              filename: file.name,
              hashes: { sha1: file.sha1, md5: file.md5, sha256: file.sha256 },
              size: offer.size,
              // Zephyr's client reads the -http links over TLS too; SWUpdate prefers the others where there are any.
              _links: { ...(base.startsWith("https:") ? links("") : {}), ...links("-http") },
            },
          ],
        },
      ],
    },
  };
}

export function cancelJson(action: number): object {
  return { id: String(action), cancelAction: { stopId: String(action) } };
}
