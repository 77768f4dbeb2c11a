// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "./error.ts";

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A device's name: 1 to 64 of `A-Z a-z 0-9 _ -`. It is a topic level, so `#`, `+` and `/` never get in. */
export type DeviceId = Brand<string, "DeviceId">;
/** A release's name, unique in one installation. */
export type ReleaseId = Brand<string, "ReleaseId">;
/** A rollout's name, unique in one installation. */
export type RolloutId = Brand<string, "RolloutId">;
/** SHA-256 in lower-case hex, 64 characters. */
export type Digest = Brand<string, "Digest">;

const name = /^[A-Za-z0-9_-]{1,64}$/;
const label = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/;
const hex64 = /^[0-9a-f]{64}$/;

/** True for text that can be a device id. */
export function isDeviceId(text: string): text is DeviceId {
  return name.test(text);
}

/** Reads a device id. Throws `id/device` naming the text. */
export function deviceId(text: string): DeviceId {
  if (!isDeviceId(text)) {
    throw new CoalmineError(
      "id/device",
      `device id ${JSON.stringify(text)} is not 1 to 64 of A-Z a-z 0-9 _ -`,
    );
  }
  return text;
}

/** Reads a release id. Throws `id/release` naming the text. */
export function releaseId(text: string): ReleaseId {
  if (!label.test(text)) {
    throw new CoalmineError("id/release", `release id ${JSON.stringify(text)} is not 1 to 64 of A-Z a-z 0-9 . _ + -`);
  }
  return text as ReleaseId;
}

/** Reads a rollout id. Throws `id/rollout` naming the text. */
export function rolloutId(text: string): RolloutId {
  if (!label.test(text)) {
    throw new CoalmineError("id/rollout", `rollout id ${JSON.stringify(text)} is not 1 to 64 of A-Z a-z 0-9 . _ + -`);
  }
  return text as RolloutId;
}

/** Reads a SHA-256 in hex. Throws `id/digest` naming the text. */
export function digest(text: string): Digest {
  if (!hex64.test(text)) {
    throw new CoalmineError("id/digest", `digest ${JSON.stringify(text)} is not 64 lower-case hex digits`);
  }
  return text as Digest;
}
