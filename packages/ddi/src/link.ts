// SPDX-License-Identifier: Apache-2.0
import { CoalmineError, type DeviceId, type Instant } from "@coalmine/core";
import { type Clock, type Link, type ProxyHost, Voice } from "@coalmine/orchestrator";
import { type Command, encodeReport } from "@coalmine/protocol";
import { createHash } from "node:crypto";
import type { AddressInfo } from "node:net";
import { type DdiDevice, type DdiEffect, type DdiInput, type DdiSetting, newDdiDevice, restoredDevice, step } from "./device.ts";
import type { ConfigData } from "./identity.ts";
import { type DdiLimits, defaultLimits } from "./limits.ts";
import { ddiServer } from "./server.ts";
import type { DdiTokens } from "./tokens.ts";

export interface DdiLinkOptions {
  /** Address to listen on; by default the loopback. */
  readonly host?: string;
  /** TCP port; 0 for a free one. */
  readonly port: number;
  readonly clock: Clock;
  /** How many times as fast as the wall the clock runs. */
  readonly speed?: number;
  /** Tenant in the path. Zephyr's client knows DEFAULT alone. */
  readonly tenant?: string;
  /** Seconds between two polls of a device, by the wall's clock; each is told up to a tenth more or less. */
  readonly poll_s: number;
  /** Without them devices are who they say they are, which is only allowed on the loopback. */
  readonly tokens?: DdiTokens;
  /** What the operator says of a device that cannot say it. */
  readonly factsOf?: (device: DeviceId) => ConfigData;
  /** How devices reach this server, when that is not the address they call: behind a proxy with TLS. No slash at its end. */
  readonly publicUrl?: string;
  /** Told of trouble that stops nothing. */
  readonly warn?: (message: string) => void;
  readonly limits?: Partial<DdiLimits>;
}

export interface DdiLink extends Link {
  readonly door: "ddi";
  /** `http://HOST:PORT` */
  readonly url: string;
}

/** True for addresses that only programs on this machine reach. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/**
 * Listens for DDI clients. Throws `ddi/unprotected` for an address beyond the loopback without tokens, `ddi/listen` when
 * the port is taken.
 */
export async function ddiLink(options: DdiLinkOptions, host: ProxyHost): Promise<DdiLink> {
  const address = options.host ?? "127.0.0.1";
  if (options.tokens === undefined && !isLoopback(address)) {
    throw new CoalmineError("ddi/unprotected", `DDI clients without tokens cannot be told apart on ${address}: give tokens, or listen on 127.0.0.1`);
  }
  const devices = new DdiDevices(options, host);
  const app = ddiServer(devices, options, host);
  try {
    await app.listen({ host: address, port: options.port });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CoalmineError("ddi/listen", `cannot serve DDI on ${address}:${options.port} (${code ?? (cause as Error).message})${code === "EADDRINUSE" ? ": another program has the port; choose one with --ddi" : ""}`, { cause });
  }
  const { port } = app.server.address() as AddressInfo;
  let closed = false;
  const open = (): void => {
    if (closed) {
      throw new CoalmineError("link/closed", "the DDI link is closed", { retry: "later" });
    }
  };
  return {
    door: "ddi",
    url: `http://${address.includes(":") ? `[${address}]` : address}:${port}`,
    async send(device: DeviceId, command: Command) {
      open();
      await devices.command(device, command);
    },
    async clear(device: DeviceId) {
      open();
      await devices.take(device, { kind: "clear" });
    },
    async close() {
      closed = true;
      await app.close();
    },
  };
}

interface Entry {
  readonly device: DdiDevice;
  readonly voice: Voice;
  readonly setting: DdiSetting;
}

/** The devices that speak through this door: drives their machines and hands their reports on. */
export class DdiDevices {
  readonly #options: DdiLinkOptions;
  readonly #host: ProxyHost;
  readonly #limits: DdiLimits;
  /** The one heard longest ago first. */
  readonly #entries = new Map<DeviceId, Entry>();

  constructor(options: DdiLinkOptions, host: ProxyHost) {
    this.#options = options;
    this.#host = host;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  get now(): Instant {
    return this.#options.clock.now();
  }

  get(id: DeviceId): DdiDevice {
    return this.#entry(id).device;
  }

  /** Steps a device and resolves once what it said by it is durable. */
  async take(id: DeviceId, input: DdiInput): Promise<void> {
    const { device, voice, setting } = this.#entry(id);
    const { now } = this;
    const effects = step(device, setting, input, now);
    await Promise.all(this.#reports(voice, effects, now).map((report) => this.#host.report(id, report, "ddi")));
  }

  async command(id: DeviceId, command: Command): Promise<void> {
    const share = command.kind === "offer" ? draw(`${id}/${command.offer}`) : 0;
    await this.take(id, { kind: "command", command, jitter: share, standing: this.#host.standing(id) });
  }

  /** Seconds until the device shall ask again: its interval, up to a tenth more or less, drawn by its name and the time. */
  sleepOf(id: DeviceId): number {
    return this.#options.poll_s * (0.9 + 0.2 * draw(`${id}/${this.now}`));
  }

  #reports(voice: Voice, effects: readonly DdiEffect[], now: Instant): Uint8Array[] {
    const reports: Uint8Array[] = [];
    for (const effect of effects) {
      if (effect.kind === "reboot") {
        voice.reboot(now);
      } else {
        reports.push(encodeReport(voice.say(effect.body, now)));
      }
    }
    return reports;
  }

  #entry(id: DeviceId): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      const known = this.#host.known(id);
      const facts = this.#options.factsOf?.(id) ?? {};
      const interval_s = Math.ceil(1.1 * this.#options.poll_s * (this.#options.speed ?? 1));
      entry = { device: known === undefined ? newDdiDevice() : restoredDevice(known, facts), voice: new Voice(known, this.now), setting: { facts, interval_s } };
      this.#entries.set(id, entry);
      this.#forget();
    } else {
      this.#entries.delete(id);
      this.#entries.set(id, entry);
    }
    return entry;
  }

  /** A flood of invented ids must not fill the memory; who has an action stays. */
  #forget(): void {
    if (this.#entries.size <= this.#limits.devices) {
      return;
    }
    for (const [id, { device }] of this.#entries) {
      if (device.action === null && device.cancelling === null) {
        this.#entries.delete(id);
        return;
      }
    }
  }
}

/** 0 to 1 by name: the same for the same name, evenly over many. */
function draw(name: string): number {
  return createHash("sha256").update(name).digest().readUInt32BE(0) / 2 ** 32;
}
