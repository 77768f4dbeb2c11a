// SPDX-License-Identifier: Apache-2.0
// Group 3 (Zephyr, "Settings (Config) Management Group"). Values are bytes; what they mean only the firmware knows.
import type { SmpClient } from "./client.ts";
import { bytesOf, granted } from "./fields.ts";
import { Group, Op, SettingsCommand } from "./frame.ts";
import type { Refusal } from "./refusal.ts";
import { SettingsRc } from "./refusal.ts";

/** `undefined` when there is no such setting. */
export async function readSetting(client: SmpClient, name: string, options: { readonly bytesMax?: number } = {}): Promise<Uint8Array | undefined> {
  const what = `reading the setting ${name}`;
  const answer = await client.request({ op: Op.read, group: Group.settings, command: SettingsCommand.value, body: { name, max_size: options.bytesMax } });
  if (answer.kind === "refused" && answer.group === Group.settings && (answer.rc === SettingsRc.keyNotFound || answer.rc === SettingsRc.rootKeyNotFound)) {
    return undefined;
  }
  return bytesOf(what, granted(what, answer), "val");
}

/** Changes a setting in the running system; `saveSettings` keeps it over a reboot. */
export async function writeSetting(client: SmpClient, name: string, value: Uint8Array): Promise<{ readonly kind: "ok" } | Refusal> {
  return done(client, SettingsCommand.value, { name, val: value });
}

export async function deleteSetting(client: SmpClient, name: string): Promise<{ readonly kind: "ok" } | Refusal> {
  return done(client, SettingsCommand.delete, { name });
}

/** Lets the firmware apply what was written. */
export async function commitSettings(client: SmpClient): Promise<{ readonly kind: "ok" } | Refusal> {
  return done(client, SettingsCommand.commit, {});
}

/** Writes all settings to persistent storage. */
export async function saveSettings(client: SmpClient): Promise<{ readonly kind: "ok" } | Refusal> {
  return done(client, SettingsCommand.storage, {});
}

async function done(client: SmpClient, command: number, body: { readonly name?: string; readonly val?: Uint8Array }): Promise<{ readonly kind: "ok" } | Refusal> {
  const answer = await client.request({ op: Op.write, group: Group.settings, command, body: { ...body } });
  return answer.kind === "refused" ? answer : { kind: "ok" };
}
