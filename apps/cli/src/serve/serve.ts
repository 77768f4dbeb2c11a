// SPDX-License-Identifier: Apache-2.0
// The orchestrator as a process: log, artifacts and clock on disk, devices over MQTT, people over HTTP.
import { buildApi, loopbackHosts } from "@coalmine/api";
import { deviceId, type Instant, instant } from "@coalmine/core";
import type { PublicKey } from "@coalmine/mcuboot";
import { brokerLink, embeddedLink, secretAuth, startBroker } from "@coalmine/mqtt";
import { AuditFeed, type EventLog, Host, planJudge } from "@coalmine/orchestrator";
import { openArtifactStore, openEventLog } from "@coalmine/store";
import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { readText } from "../files.ts";
import { readPublicKey } from "../keys.ts";
import { badEnvironment, badUsage, isTrouble } from "../output/exit.ts";
import { isLoopback, type ListenAddress, urlOf } from "./address.ts";
import { openClock } from "./clock.ts";
import type { ServeSettings } from "./settings.ts";
import { logVerifier } from "./verify.ts";

export interface ServeEvents {
  /** Told of trouble that stops nothing. */
  readonly warn: (message: string) => void;
  /** Told of an error that is a bug: the machine's state is not to be trusted any more. */
  readonly bug: (error: Error) => void;
}

export interface Serving {
  readonly http: string;
  readonly mqtt: string;
  /** Stops taking in, waits for what is under way, stores the folded state. */
  close(): Promise<void>;
}

const logName = "events.sqlite";
const tickMs = 1_000;
const tickMsMin = 50;

/** Starts everything; what was started is stopped again when something later cannot be. */
export async function serve(settings: ServeSettings, events: ServeEvents): Promise<Serving> {
  const keys = settings.keys.map(readKey);
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closing.splice(0).reverse()) {
      await step();
    }
  };
  try {
    return { ...(await start(settings, keys, events, closing)), close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

async function start(settings: ServeSettings, keys: readonly PublicKey[], events: ServeEvents, closing: (() => Promise<void>)[]): Promise<{ http: string; mqtt: string }> {
  makeFolder(settings.data);
  const log = openEventLog(join(settings.data, logName));
  let hostOpen = false;
  closing.push(async () => {
    if (!hostOpen) {
      await log.close();
    }
  });
  const artifacts = openArtifactStore(join(settings.data, "artifacts"));
  const clock = openClock(settings.data, { speed: settings.speed, notBefore: newest(log) });
  const feed = new AuditFeed();
  const host = Host.open({ log, artifacts, clock, judge: planJudge, keys, warn: events.warn, watch: feed.note });
  hostOpen = true;
  closing.push(() => host.close());
  if (keys.length === 0) {
    events.warn("no trusted key: releases are refused until one is given with --key PUBLIC.pem");
  }

  const mqtt = await openMqtt(settings, host, events, closing);
  await host.resume();

  const api = buildApi(host, {
    log,
    artifacts,
    clock,
    feed,
    verify: logVerifier(join(settings.data, logName)),
    token: settings.token,
    hosts: isLoopback(settings.http.host) ? [...loopbackHosts, settings.http.host] : undefined,
    onBug: (error, request) => events.warn(`bug at ${request}: ${error.stack}`),
  });
  const http = await listen(api, settings.http);
  closing.push(() => api.close());

  const stopTicking = tick(host, Math.max(tickMsMin, tickMs / settings.speed), events);
  closing.push(stopTicking);
  return { http, mqtt };
}

async function openMqtt(settings: ServeSettings, host: Host, events: ServeEvents, closing: (() => Promise<void>)[]): Promise<string> {
  if (settings.mqtt === undefined) {
    const url = settings.broker as string;
    host.attach(await brokerLink(url, host, { warn: events.warn }));
    return withoutSecrets(url);
  }
  const auth = settings.deviceSecrets === undefined ? undefined : secretAuth(readSecrets(settings.deviceSecrets));
  const broker = await startBroker({ ...settings.mqtt, ...(auth === undefined ? {} : { auth }) });
  // Closed before the host: nothing new comes in while it stores what it has.
  closing.push(() => broker.close());
  host.attach(embeddedLink(broker, host));
  return broker.url;
}

/** Lets the host decide what time alone decides. A tick that takes longer than the interval is not overtaken. */
function tick(host: Host, intervalMs: number, events: ServeEvents): () => Promise<void> {
  let running = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    if (busy || host.failure !== undefined) {
      return;
    }
    busy = true;
    running = host
      .tick()
      .catch((error: unknown) => {
        if (!isTrouble(error)) {
          events.bug(error instanceof Error ? error : new Error(String(error)));
        }
      })
      .finally(() => {
        busy = false;
      });
  }, intervalMs);
  return async () => {
    clearInterval(timer);
    await running;
  };
}

async function listen(api: ReturnType<typeof buildApi>, address: ListenAddress): Promise<string> {
  try {
    await api.listen({ host: address.host, port: address.port });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined) {
      throw cause;
    }
    throw badEnvironment(`cannot serve HTTP on ${address.host}:${address.port} (${code})${code === "EADDRINUSE" ? ": another program has the port; choose one with --http" : ""}`, cause);
  }
  const { port } = api.server.address() as AddressInfo;
  return urlOf("http", { host: address.host, port });
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw badEnvironment(`cannot use the data folder ${folder}: ${(cause as Error).message}`, cause);
  }
}

function readKey(file: string): PublicKey {
  if (readText(file, { what: "key", bytesMax: 64 * 1024, encoding: "latin1" }).includes("PRIVATE KEY")) {
    throw badUsage(`key ${file} is a private key; the orchestrator needs the public one only: keep the private one away from it`);
  }
  return readPublicKey(file);
}

/** Lines of `DEVICE SHA256-OF-SECRET`; empty lines and lines with # are left out. */
function readSecrets(file: string): (readonly [ReturnType<typeof deviceId>, string])[] {
  const lines = readText(file, { what: "device secrets" }).split("\n");
  return lines.flatMap((line, index) => {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) {
      return [];
    }
    const match = /^(\S+)\s+([0-9a-f]{64})$/.exec(text);
    if (match === null) {
      throw badUsage(`${file}, line ${index + 1}: write DEVICE and the SHA-256 of its secret in hex`);
    }
    return [[deviceId(match[1] as string), match[2] as string] as const];
  });
}

function newest(log: EventLog): Instant {
  for (const entry of log.read(Math.max(0, log.length - 1))) {
    return entry.at;
  }
  return instant(0);
}

function withoutSecrets(url: string): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  return shown.href.replace(/\/$/, "");
}
