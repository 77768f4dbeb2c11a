// SPDX-License-Identifier: Apache-2.0
// Which device sent a request.
//
// D1. With secrets, a device is who its envelope proves; nothing else in a request names it.
// D2. A sequence number has an effect once. Reading an artifact's block has none, and its answer is not remembered, so that
//     may be repeated; a GET of `.u/command` takes the command along, and may not.
//     Who proves itself with a number that was used is told, signed, the highest one: a device that was erased goes on above
//     it. The window never goes back, so what was recorded before stays refused.
// D3. A device that the server has not heard since its start, or forgot, proves freshness by an Echo value first.
import { isDeviceId, type DeviceId } from "@coalmine/core";
import type { Answer, Endpoint, Request } from "./endpoint.ts";
import { readClaim, type Reply } from "./envelope.ts";
import type { CoapLimits } from "./limits.ts";
import { Code } from "./message.ts";
import { OptionNumber, writeUint } from "./option.ts";
import { ReplayWindow } from "./replay.ts";

/** Returns a device's secret, or undefined for a device that has none. Called for every request: it should be quick. */
export type SecretOf = (device: DeviceId) => Uint8Array | undefined;

export type Identity =
  | {
      readonly kind: "device";
      readonly device: DeviceId;
      /** How to sign the answer; undefined without secrets. */
      readonly reply: Reply | undefined;
    }
  | { readonly kind: "refused"; readonly answer: Answer };

export interface AuthenticationStats {
  /** No envelope, a wrong one, or of an unknown device. */
  forged: number;
  replayed: number;
}

export interface Authentication {
  readonly stats: AuthenticationStats;
  identify(request: Request, endpoint: Endpoint): Identity;
}

const refused: Identity = { kind: "refused", answer: { code: Code.unauthorized, repeatable: true } };
/** The number was used. Signed for the request that used it again, so it helps nobody but who made that. */
const behind = ({ highest }: ReplayWindow, reply: Reply): Identity => ({
  kind: "refused",
  answer: { code: Code.unauthorized, options: [{ number: OptionNumber.renew, value: writeUint(highest) }], reply, repeatable: true },
});
const nobody = new Uint8Array(32);

/** Devices prove themselves by envelopes. */
export function secretAuthentication(secretOf: SecretOf, limits: CoapLimits): Authentication {
  /** The device heard least recently first. */
  const windows = new Map<DeviceId, ReplayWindow>();
  const stats: AuthenticationStats = { forged: 0, replayed: 0 };

  function isNew(device: DeviceId, sequence: number): boolean {
    const window = windows.get(device);
    if (window?.accept(sequence) !== true) {
      return false;
    }
    windows.delete(device);
    windows.set(device, window);
    return true;
  }

  function start(device: DeviceId, sequence: number): void {
    windows.set(device, new ReplayWindow(sequence));
    if (windows.size > limits.windows) {
      for (const oldest of windows.keys()) {
        windows.delete(oldest);
        break;
      }
    }
  }

  return {
    stats,
    identify(request, endpoint) {
      const claim = readClaim(request.message, request.optionBytes);
      const secret = claim === undefined ? undefined : secretOf(claim.device);
      // An unknown device takes as long as a known one.
      if (claim === undefined || !claim.matches(secret ?? nobody) || secret === undefined) {
        stats.forged += 1;
        return refused;
      }
      const { device, sequence } = claim;
      const reply = { secret, sequence };
      if (windows.has(device)) {
        if (!isNew(device, sequence) && !isBlockRequest(request)) {
          stats.replayed += 1;
          return behind(windows.get(device) as ReplayWindow, reply);
        }
      } else if (request.fresh) {
        start(device, sequence);
      } else {
        return { kind: "refused", answer: { ...endpoint.challenge(request.peer), reply } };
      }
      return { kind: "device", device, reply };
    },
  };
}

const artifactPath = [".u", "c"];

/** A GET of a block of an artifact. */
function isBlockRequest({ message }: Request): boolean {
  let segment = 0;
  for (const { number, value } of message.options) {
    if (number === OptionNumber.observe) {
      return false;
    }
    if (number === OptionNumber.uriPath && segment < artifactPath.length) {
      if (Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1") !== artifactPath[segment]) {
        return false;
      }
      segment += 1;
    }
  }
  return message.code === Code.get && segment === artifactPath.length;
}

const queryStart = "d=";

/** Devices are who they say they are, in the query `d=ID`: for a laboratory, on the loopback only. */
export function openAuthentication(): Authentication {
  const stats: AuthenticationStats = { forged: 0, replayed: 0 };
  return {
    stats,
    identify(request) {
      for (const { number, value } of request.message.options) {
        if (number === OptionNumber.uriQuery) {
          const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1");
          if (text.startsWith(queryStart)) {
            const device = text.slice(queryStart.length);
            return isDeviceId(device) ? { kind: "device", device, reply: undefined } : refused;
          }
        }
      }
      stats.forged += 1;
      return refused;
    },
  };
}
