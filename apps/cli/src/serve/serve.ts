// SPDX-License-Identifier: Apache-2.0
// The orchestrator as a process: log, artifacts and clock on disk, devices over MQTT, people over HTTP.
import { buildApi, loopbackHosts, type DoorMeter, newIngestMeter } from "@coalmine/api";
import { coapLink } from "@coalmine/coap";
import { type Instant, instant } from "@coalmine/core";
import type { PublicKey } from "@coalmine/mcuboot";
import { brokerLink, embeddedLink, secretAuth, startBroker } from "@coalmine/mqtt";
import { AuditFeed, type EventLog, Host, type HostOptions, type LinkHost, planJudge } from "@coalmine/orchestrator";
import { CrashIndex, openArchiveStore, openArtifactStore, openEventLog } from "@coalmine/store";
import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { dashboardPages } from "../dashboard/pages.ts";
import { readText } from "../files.ts";
import { readPublicKey } from "../keys.ts";
import { badEnvironment, badUsage, isTrouble } from "../output/exit.ts";
import { isLoopback, type ListenAddress, urlOf } from "./address.ts";
import { openClock } from "./clock.ts";
import { openDdi } from "./ddi.ts";
import { type DeviceSecrets, readDeviceSecrets, readSealKey } from "./device-secrets.ts";
import type { ServeSettings } from "./settings.ts";
import { openSmpBoards } from "./smp.ts";
import { logVerifier } from "./verify.ts";
import { metered } from "./metered.ts";
import { openWebhooks } from "./webhooks.ts";

export interface ServeEvents {
  /** Told of what goes on, for people. */
  readonly note?: (message: string) => void;
  /** Told of trouble that stops nothing. */
  readonly warn: (message: string) => void;
  /** Told of an error that is a bug: the machine's state is not to be trusted any more. */
  readonly bug: (error: Error) => void;
}

export interface Serving {
  readonly http: string;
  readonly mqtt: string;
  /** Undefined when CoAP is not served. */
  readonly coap: string | undefined;
  /** Undefined when DDI is not served. */
  readonly ddi: string | undefined;
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

async function start(settings: ServeSettings, keys: readonly PublicKey[], events: ServeEvents, closing: (() => Promise<void>)[]): Promise<Omit<Serving, "close">> {
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
  // Opened before the host, which appends: what the log holds now is durable.
  const crashes = new CrashIndex(join(settings.data, "crashes.sqlite"), { log, artifacts, warn: events.warn });
  closing.push(() => crashes.close());
  const archive = openArchiveStore(join(settings.data, "archive"));
  const host = Host.open({ log, artifacts, archive, clock, judge: planJudge, keys, warn: events.warn, watch: both(feed.note, crashes.note) });
  hostOpen = true;
  closing.push(() => host.close());
  // Before the host closes the log, which it reads.
  closing.push(() => crashes.close());
  if (keys.length === 0) {
    events.warn("no trusted key: releases are refused until one is given with --key PUBLIC.pem");
  }

  if (settings.webhooks !== undefined) {
    const webhooks = openWebhooks(settings.webhooks, { data: settings.data, host, log, feed, warn: events.warn });
    closing.push(() => webhooks.close());
  }
  const ingest = newIngestMeter();
  const doors: Doors = { host, taking: metered(host, ingest), meters: [] };

  const secrets = settings.deviceSecrets === undefined ? undefined : readDeviceSecrets(settings.deviceSecrets, settings.sealKey === undefined ? undefined : readSealKey(settings.sealKey));
  const mqtt = await openMqtt(settings, secrets, doors, events, closing);
  const coap = await openCoap(settings, secrets, doors, events);
  const ddi = settings.ddi === undefined ? undefined : await openDdi(settings.ddi, { host, clock, speed: settings.speed, secrets: secrets?.hashes, warn: events.warn });
  if (ddi !== undefined) {
    host.attach(ddi);
  }
  if (settings.smp !== undefined) {
    host.attach(openSmpBoards(settings.smp, { host, clock, speed: settings.speed, warn: events.warn }));
  }
  await host.resume();

  const api = buildApi(host, {
    log,
    artifacts,
    archive,
    clock,
    feed,
    crashes: crashes.catalogue,
    ingest,
    doors: doors.meters,
    verify: logVerifier(join(settings.data, logName)),
    pages: dashboardPages(events.note ?? (() => undefined)),
    token: settings.token,
    hosts: isLoopback(settings.http.host) ? [...loopbackHosts, settings.http.host] : undefined,
    onBug: (error, request) => events.warn(`bug at ${request}: ${error.stack}`),
  });
  const http = await listen(api, settings.http);
  closing.push(() => api.close());

  const stopTicking = tick(host, Math.max(tickMsMin, tickMs / settings.speed), events);
  closing.push(stopTicking);
  return { http, mqtt, coap, ddi: ddi?.url };
}

function both(...watchers: readonly NonNullable<HostOptions["watch"]>[]): NonNullable<HostOptions["watch"]> {
  return (outcome, first) => {
    for (const watch of watchers) {
      watch(outcome, first);
    }
  };
}

/** What links attach to, what they hand reports to, and what they count. */
interface Doors {
  readonly host: Host;
  readonly taking: LinkHost;
  readonly meters: DoorMeter[];
}

async function openMqtt(settings: ServeSettings, secrets: DeviceSecrets | undefined, { host, taking, meters }: Doors, events: ServeEvents, closing: (() => Promise<void>)[]): Promise<string> {
  if (settings.mqtt === undefined) {
    const url = settings.broker as string;
    const link = await brokerLink(url, taking, { warn: events.warn });
    host.attach(link);
    meters.push({ door: "mqtt", stats: () => ({ connected: link.connected ? 1 : 0, receiving: link.receiving, dropped: link.dropped }) });
    return withoutSecrets(url);
  }
  const auth = secrets === undefined ? undefined : secretAuth(secrets.hashes);
  const broker = await startBroker({ ...settings.mqtt, ...(auth === undefined ? {} : { auth }) });
  // Closed before the host: nothing new comes in while it stores what it has.
  closing.push(() => broker.close());
  host.attach(embeddedLink(broker, taking));
  // What was refused, by reason.
  meters.push({ door: "mqtt", stats: () => ({ ...broker.counters }) });
  return broker.url;
}

/** Opens CoAP, when it is asked for. The host closes it, before it stores what it has. */
async function openCoap({ coap }: ServeSettings, secrets: DeviceSecrets | undefined, { host, taking, meters }: Doors, events: ServeEvents): Promise<string | undefined> {
  if (coap === undefined) {
    return undefined;
  }
  if (secrets !== undefined && secrets.withoutCoapKey > 0) {
    events.warn(`${secrets.withoutCoapKey} devices have no CoAP key in the file of device secrets and cannot come over CoAP`);
  }
  const link = await coapLink(
    {
      host: coap.host === "localhost" ? "127.0.0.1" : coap.host,
      port: coap.port,
      failed: (error) => events.warn(`CoAP: ${error instanceof Error ? error.message : String(error)}`),
      ...(secrets === undefined ? {} : { secretOf: (device) => secrets.coapKeys.get(device) }),
    },
    taking,
  );
  host.attach(link);
  meters.push({ door: "coap", stats: () => ({ ...link.stats() }) });
  return link.url;
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
