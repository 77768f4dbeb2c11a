// SPDX-License-Identifier: Apache-2.0
// Settings of `serve`: flags over environment over configuration file over defaults.
import type { CoalmineError } from "@coalmine/core";
import { checkShape, readYaml } from "@coalmine/orchestrator";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { readText } from "../files.ts";
import { badUsage } from "../output/exit.ts";
import { isLoopback, type ListenAddress, listenAddress } from "./address.ts";
import type { DdiSettings } from "./ddi.ts";
import type { WebhookSettings } from "./webhooks.ts";

export interface ServeFlags {
  readonly config?: string;
  readonly data?: string;
  readonly http?: string;
  readonly mqtt?: string;
  readonly coap?: string;
  readonly ddi?: string;
  readonly ddiConfig?: string;
  readonly smp?: string;
  readonly broker?: string;
  readonly store?: string;
  readonly key?: readonly string[];
  readonly token?: string;
  readonly deviceSecrets?: string;
  readonly sealKey?: string;
  readonly speed?: number;
  readonly webhook?: readonly string[];
  readonly webhookSecret?: string;
}

export interface ServeSettings {
  readonly data: string;
  readonly http: ListenAddress;
  /** Undefined when a foreign broker is used. */
  readonly mqtt: ListenAddress | undefined;
  readonly broker: string | undefined;
  /** Undefined when CoAP is not served. */
  readonly coap: ListenAddress | undefined;
  readonly keys: readonly string[];
  readonly token: string | undefined;
  readonly deviceSecrets: string | undefined;
  /** File of the key that opens the CoAP keys in the file of device secrets. */
  readonly sealKey: string | undefined;
  readonly speed: number;
  /** Undefined when DDI is not served. */
  readonly ddi: DdiSettings | undefined;
  /** File of the boards that are reached by SMP. */
  readonly smp: string | undefined;
  /** Undefined when nobody is told of decisions. */
  readonly webhooks: WebhookSettings | undefined;
}

const address = z.string().min(1).max(300);

const configShape = z.strictObject({
  data: z.string().min(1).optional(),
  http: address.optional(),
  mqtt: address.optional(),
  coap: address.optional(),
  ddi: address.optional(),
  ddiConfig: z.string().min(1).optional(),
  smp: z.string().min(1).optional(),
  broker: z.string().min(1).optional(),
  store: z.string().min(1).optional(),
  keys: z.array(z.string().min(1)).max(16).optional(),
  token: z.string().min(1).optional(),
  deviceSecrets: z.string().min(1).optional(),
  sealKey: z.string().min(1).optional(),
  speed: z.number().positive().max(1_000_000).optional(),
  webhooks: z.array(z.string().min(1).max(2_000)).max(16).optional(),
  webhookSecret: z.string().min(1).optional(),
});

type Config = z.output<typeof configShape>;

const tokenCharsMin = 16;

/** @param environment the process's environment variables */
export function serveSettings(flags: ServeFlags, environment: Readonly<Record<string, string | undefined>>): ServeSettings {
  const file = flags.config ?? environment["COALMINE_CONFIG"];
  const config = file === undefined ? {} : readConfig(file);
  const pick = (flag: string | undefined, name: string, configured: string | undefined): string | undefined => flag ?? environment[name] ?? configured;
  const data = pick(flags.data, "COALMINE_DATA", config.data) ?? "coalmine-data";
  const broker = pick(flags.broker, "COALMINE_BROKER", config.broker);
  const mqtt = pick(flags.mqtt, "COALMINE_MQTT", config.mqtt);
  const coap = pick(flags.coap, "COALMINE_COAP", config.coap);
  const ddi = pick(flags.ddi, "COALMINE_DDI", config.ddi);
  const store = pick(flags.store, "COALMINE_STORE", config.store);
  if (store !== undefined) {
    throw badUsage(`--store ${store.split(":")[0]}: this version keeps its log in the data folder; leave --store out`);
  }
  if (broker !== undefined && mqtt !== undefined) {
    throw badUsage("--mqtt starts the embedded broker and --broker uses another one: give one of them");
  }
  const token = pick(flags.token, "COALMINE_TOKEN", config.token);
  if (token !== undefined && (token.length < tokenCharsMin || /\s/.test(token))) {
    throw badUsage(`the token is shorter than ${tokenCharsMin} characters or has spaces: make one with "openssl rand -hex 32"`);
  }
  const settings: ServeSettings = {
    data: resolve(data),
    http: listenAddress(pick(flags.http, "COALMINE_HTTP", config.http) ?? "127.0.0.1:8080", "--http"),
    mqtt: broker === undefined ? listenAddress(mqtt ?? "127.0.0.1:1883", "--mqtt") : undefined,
    broker,
    coap: coap === undefined ? undefined : listenAddress(coap, "--coap"),
    keys: flags.key ?? environment["COALMINE_KEYS"]?.split(",").filter((key) => key !== "") ?? config.keys ?? [],
    token,
    deviceSecrets: pick(flags.deviceSecrets, "COALMINE_DEVICE_SECRETS", config.deviceSecrets),
    sealKey: pick(flags.sealKey, "COALMINE_SEAL_KEY", config.sealKey),
    speed: flags.speed ?? speedOf(environment["COALMINE_SPEED"]) ?? config.speed ?? 1,
    ddi: ddi === undefined ? undefined : { address: listenAddress(ddi, "--ddi"), config: pick(flags.ddiConfig, "COALMINE_DDI_CONFIG", config.ddiConfig) },
    smp: pick(flags.smp, "COALMINE_SMP", config.smp),
    webhooks: webhooksOf(flags.webhook ?? config.webhooks ?? [], pick(flags.webhookSecret, "COALMINE_WEBHOOK_SECRET", config.webhookSecret)),
  };
  refuseOpenDoors(settings);
  return settings;
}

function webhooksOf(urls: readonly string[], secretFile: string | undefined): WebhookSettings | undefined {
  if (urls.length === 0) {
    return undefined;
  }
  if (secretFile === undefined) {
    throw badUsage("--webhook needs --webhook-secret FILE: deliveries are signed, so that the receiver knows who sent them");
  }
  return { urls: [...new Set(urls)], secretFile };
}

function readConfig(file: string): Config {
  const config = checkShape(configShape, readYaml(readText(file, { what: "configuration" }), file) ?? {}, { code: "cli/config", source: file });
  // Paths in a file are relative to it, wherever the command is called.
  const near = (path: string): string => resolve(dirname(file), path);
  return {
    ...config,
    ...(config.data === undefined ? {} : { data: near(config.data) }),
    ...(config.keys === undefined ? {} : { keys: config.keys.map(near) }),
    ...(config.deviceSecrets === undefined ? {} : { deviceSecrets: near(config.deviceSecrets) }),
    ...(config.sealKey === undefined ? {} : { sealKey: near(config.sealKey) }),
    ...(config.webhookSecret === undefined ? {} : { webhookSecret: near(config.webhookSecret) }),
    ...(config.ddiConfig === undefined ? {} : { ddiConfig: near(config.ddiConfig) }),
    ...(config.smp === undefined ? {} : { smp: near(config.smp) }),
  };
}

function speedOf(text: string | undefined): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  const speed = Number(text);
  if (!(speed > 0 && speed <= 1_000_000)) {
    throw badUsage(`COALMINE_SPEED ${JSON.stringify(text)} is not a number above 0 and up to 1000000`);
  }
  return speed;
}

/** Nothing that the network can reach is served without a secret. */
function refuseOpenDoors({ http, mqtt, coap, ddi, token, deviceSecrets, sealKey }: ServeSettings): void {
  const refuse = (option: string, what: string): CoalmineError => badUsage(`${option} is open to the network: give ${what}, or bind 127.0.0.1`);
  if (!isLoopback(http.host) && token === undefined) {
    throw refuse(`--http ${http.host}`, "--token or COALMINE_TOKEN");
  }
  for (const [option, door] of [["--mqtt", mqtt], ["--coap", coap], ["--ddi", ddi?.address]] as const) {
    if (door === undefined || isLoopback(door.host)) {
      continue;
    }
    if (token === undefined) {
      throw refuse(`${option} ${door.host}`, "--token or COALMINE_TOKEN");
    }
    // Gateway tokens may stand in the configuration of DDI; its link refuses to open without any.
    if (deviceSecrets === undefined && option !== "--ddi") {
      throw refuse(`${option} ${door.host}`, "--device-secrets FILE, so that devices prove who they are");
    }
  }
  if (coap !== undefined && deviceSecrets !== undefined && sealKey === undefined) {
    throw badUsage("--coap with --device-secrets checks signatures: give --seal-key FILE, which opens the devices' CoAP keys");
  }
}
