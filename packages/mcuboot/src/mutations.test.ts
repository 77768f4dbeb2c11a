// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { ED25519, P256 } from "./testing/boards.ts";
import { ImageTrial } from "./testing/trial.ts";

test("of 20,000 mutated images none is accepted, and none makes parsing or verifying throw", () => {
  const seed = 20260722;
  const trial = new ImageTrial([ED25519, P256, generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey]);
  for (let number = 0; number < 20_000; number++) {
    trial.try(seed, number);
  }
  expect(trial.report, `seed ${seed}`).toMatchObject({ mutants: 20_000, accepted: 0, findings: [] });
  // The trial means something only if many mutants get past the parser, and unchanged ones past the verifier.
  expect(trial.report.parsed).toBeGreaterThan(2000);
  expect(trial.report.sameContent).toBeGreaterThan(100);
});
