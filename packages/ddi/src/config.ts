// SPDX-License-Identifier: Apache-2.0
// The file of `serve --ddi-config`: what the operator says where devices and defaults do not.
import { type DeviceId, parseDuration } from "@coalmine/core";
import { checkShape, readYaml } from "@coalmine/orchestrator";
import { isAttributeValue } from "@coalmine/protocol";
import { z } from "zod";
import type { ConfigData } from "./identity.ts";

export interface DdiConfig {
  readonly poll_s: number;
  readonly tenant: string;
  readonly publicUrl: string | undefined;
  /** SHA-256 of gateway tokens, lower-case hex. */
  readonly gateways: readonly string[];
  /** What the operator says of a device: the facts of every pattern that its id matches, later ones over earlier ones. */
  factsOf(device: DeviceId): ConfigData;
}

const pollMsMin = 1_000;
const pollMsMax = 12 * 3_600_000;

const shape = z.strictObject({
  poll: z
    .string()
    .transform((text, context): number => {
      try {
        const length = parseDuration(text);
        if (length >= pollMsMin && length <= pollMsMax) {
          return length / 1_000;
        }
        context.addIssue({ code: "custom", message: `${JSON.stringify(text)} is not from 1s to 12h` });
      } catch (error) {
        context.addIssue({ code: "custom", message: (error as Error).message });
      }
      return z.NEVER;
    })
    .default(300),
  tenant: z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, "must be 1 to 32 of A-Z a-z 0-9 _ -").default("DEFAULT"),
  url: z.string().regex(/^https?:\/\/[^/\s]+(\/[^\s]*[^/\s])?$/, "must be http://HOST or https://HOST, without a slash at its end").optional(),
  gatewayTokens: z.array(z.string().regex(/^[0-9a-f]{64}$/, "must be the SHA-256 of a token in 64 lower-case hex digits")).max(64).default([]),
  devices: z.record(z.string().regex(/^[A-Za-z0-9_*-]{1,64}$/, "must be a controller id, with * for any characters"), z.record(z.string().max(32), z.union([z.string(), z.number()]).transform(String).refine(isAttributeValue, "must be at most 64 printable ASCII characters"))).default({}),
});

/** Reads the file. Throws `yaml/...` or `ddi/config` naming the field. */
export function parseDdiConfig(text: string, source: string): DdiConfig {
  const { poll, tenant, url, gatewayTokens, devices } = checkShape(shape as z.ZodType<z.output<typeof shape>>, readYaml(text, source) ?? {}, { code: "ddi/config", source });
  const patterns = Object.entries(devices).map(([pattern, facts]) => ({ matches: new RegExp(`^${pattern.replaceAll("*", "[A-Za-z0-9_-]*")}$`), facts }));
  return {
    poll_s: poll,
    tenant,
    publicUrl: url,
    gateways: gatewayTokens,
    factsOf: (device) => Object.assign({}, ...patterns.filter(({ matches }) => matches.test(device)).map(({ facts }) => facts)) as ConfigData,
  };
}
