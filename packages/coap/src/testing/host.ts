// SPDX-License-Identifier: Apache-2.0
import { deviceId } from "@coalmine/core";
import type { LinkHost } from "@coalmine/orchestrator";
import { type Command, encodeReport, type Offer } from "@coalmine/protocol";
import { createHash } from "node:crypto";
import { onTestFinished } from "vitest";
import { type CoapLink, coapLink, type CoapLinkOptions } from "../link.ts";
import { TestDevice } from "./device.ts";

export const dev1 = deviceId("dev-1");
export const dev2 = deviceId("dev-2");

/** Bytes that look like nothing, the same each time. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

export function offerOf(artifact: Uint8Array, version = "1.2.3"): Offer {
  return {
    kind: "offer",
    offer: 7,
    release: "spring",
    version,
    variant: { board: "nrf52", revision: "2", partitionMap: "p1" },
    digest: new Uint8Array(createHash("sha256").update(artifact).digest()),
    imageHash: new Uint8Array(32).fill(9),
    size: artifact.length,
    jitter_s: 0,
    confirm: { minUptime_s: 10, deadline_s: 300, serverContact: true },
  };
}

export const cancel = (offer: number): Command => ({ kind: "cancel", offer });

/** The `sequence`-th heartbeat of a first boot. */
export function heartbeat(sequence: number, metrics: Readonly<Record<string, number>> = {}): Uint8Array {
  return encodeReport({
    boot: 1,
    sequence,
    uptime_s: sequence,
    body: { kind: "heartbeat", imageHash: new Uint8Array(32), confirmed: true, battery: null, linkUptime: 1, metrics },
  });
}

export interface Site<H extends LinkHost> {
  readonly host: H;
  readonly link: CoapLink;
  readonly failures: unknown[];
  readonly device: (options?: { readonly id?: string; readonly secret?: Uint8Array }) => Promise<TestDevice>;
}

/** A CoAP link over a host, closed with the test. */
export async function openSite<H extends LinkHost>(host: H, options: Partial<CoapLinkOptions> = {}): Promise<Site<H>> {
  const failures: unknown[] = [];
  const link = await coapLink({ port: 0, failed: (error) => failures.push(error), ...options }, host);
  onTestFinished(() => link.close());
  return {
    host,
    link,
    failures,
    device: async (of = {}) => {
      const device = await TestDevice.connect(link.port, of);
      onTestFinished(() => device.close());
      return device;
    },
  };
}
