// SPDX-License-Identifier: Apache-2.0
// Webhooks of `serve`: their addresses and key, and how far each has got, in a file of the data folder.
import { type WebhookPositions, Webhooks, webhookUrl } from "@coalmine/api";
import { exposedCount, type RolloutId } from "@coalmine/core";
import type { AuditFeed, AuditLine, EventLog, Host } from "@coalmine/orchestrator";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readText } from "../files.ts";
import { badUsage } from "../output/exit.ts";

export interface WebhookSettings {
  readonly urls: readonly string[];
  /** File with the key of the signatures. */
  readonly secretFile: string;
}

const secretBytesMin = 24;

/** Opens the webhooks. Throws `webhook/url`, or usage errors for a key that is none. */
export function openWebhooks(settings: WebhookSettings, site: { readonly data: string; readonly host: Host; readonly log: EventLog; readonly feed: AuditFeed; readonly warn: (message: string) => void }): Webhooks {
  const secret = readSecret(settings.secretFile);
  const { host, log, feed, warn } = site;
  return new Webhooks({
    targets: settings.urls.map((url) => ({ url: webhookUrl(url), secret })),
    log,
    feed,
    warn,
    positions: filePositions(join(site.data, "webhooks.json")),
    describe: (line) => describeLine(host, line),
  });
}

/** `whsec_` and base64, as Standard Webhooks writes keys; or any text of at least 24 bytes. */
function readSecret(file: string): Uint8Array {
  const text = readText(file, { what: "webhook secret", bytesMax: 1_024 }).trim();
  const secret = text.startsWith("whsec_") ? Buffer.from(text.slice("whsec_".length), "base64") : Buffer.from(text);
  if (secret.length < secretBytesMin) {
    throw badUsage(`${file}: the webhook secret has ${secret.length} bytes and needs ${secretBytesMin}: make one with "echo whsec_$(openssl rand -base64 32)"`);
  }
  return secret;
}

function describeLine(host: Host, { rollout: id, detail }: AuditLine): Record<string, unknown> {
  const rollout = id === null ? undefined : host.conductor.state.rollouts.get(id as RolloutId);
  return rollout === undefined
    ? {}
    : {
        release: rollout.release,
        status: rollout.status,
        haltedBy: rollout.haltedBy,
        stage: rollout.stages[typeof detail["stage"] === "number" ? detail["stage"] : rollout.stage]?.name ?? null,
        population: rollout.members.length,
        offered: rollout.offered,
        exposed: exposedCount(rollout),
        report: `/rollouts/${encodeURIComponent(rollout.id)}/report`,
      };
}

function filePositions(path: string): WebhookPositions {
  let known: Record<string, number> = {};
  if (existsSync(path)) {
    try {
      const data: unknown = JSON.parse(readFileSync(path, "utf8"));
      known = typeof data === "object" && data !== null ? Object.fromEntries(Object.entries(data).filter(([, value]) => Number.isSafeInteger(value))) : {};
    } catch (cause) {
      throw badUsage(`${path} is not readable (${(cause as Error).message}): move it away, and webhooks tell of what happens from now on`, cause);
    }
  }
  return {
    get: (url) => known[url],
    set: (url, sequence) => {
      if (known[url] !== sequence) {
        known = { ...known, [url]: sequence };
        writeFileSync(`${path}.new`, JSON.stringify(known), { mode: 0o600 });
        renameSync(`${path}.new`, path);
      }
    },
  };
}
