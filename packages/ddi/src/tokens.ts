// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import { createHash, timingSafeEqual } from "node:crypto";

/** Who may speak for which device. Both hold SHA-256 of tokens in lower-case hex, never the tokens. */
export interface DdiTokens {
  /** `Authorization: TargetToken ...`, by device. */
  readonly targets: ReadonlyMap<string, string>;
  /** `Authorization: GatewayToken ...`: any of them speaks for every device. */
  readonly gateways: readonly string[];
}

/** Whether an Authorization header proves that the client is this device, or a gateway of it. Takes as long for a wrong one. */
export function proves(tokens: DdiTokens, device: DeviceId, authorization: string | undefined): boolean {
  const match = /^(TargetToken|GatewayToken) +(\S{1,256})$/.exec(authorization ?? "");
  const given = createHash("sha256").update(match?.[2] ?? "").digest();
  const wanted = match?.[1] === "GatewayToken" ? tokens.gateways : [tokens.targets.get(device) ?? ""];
  let proven = false;
  for (const hash of wanted) {
    const expected = Buffer.from(hash, "hex");
    proven = (expected.length === given.length && timingSafeEqual(expected, given)) || proven;
  }
  return proven && match !== null;
}
