// SPDX-License-Identifier: Apache-2.0
import type { BootConfig, BootResult, Profile, SectorPool } from "@coalmine/mcuboot";
import { Flash, boot, formatVersion, setConfirmed, setNext, setPending, withProfile } from "@coalmine/mcuboot";
import type { Digests, ExpectedStep, ScenarioCase, Step, Vectors } from "./mcuboot-vectors.ts";
import { compareState, differ, operationRecord } from "./mcuboot-vectors.ts";

/** What a scenario's replay differed in, by comparison level; empty lists mean equal. */
export interface ScenarioReport {
  readonly outcome: readonly string[];
  readonly state: readonly string[];
  readonly ops: readonly string[];
}

interface Run {
  readonly config: BootConfig;
  readonly flash: Flash;
  readonly vectors: Vectors;
  nv: number[];
}

/** Replays one scenario step by step. */
export function runScenario(scenario: ScenarioCase, vectors: Vectors, pool: SectorPool, digests: Digests, profile: Profile): ScenarioReport {
  const outcome: string[] = [];
  const state: string[] = [];
  const ops: string[] = [];
  const config = withProfile(vectors.config(scenario.config), profile);
  const flash = Flash.create(scenario.areas, { pool, dump: vectors.binary(scenario.flash0) });
  const run: Run = { config, flash, vectors, nv: [...(scenario.state0.nv ?? [])] };
  const check = (name: string, expected: ExpectedStep | ScenarioCase["state0"], lists: { outcome: string[]; ops: string[] }): void => {
    const found = compareState(config, flash, digests, expected, run.nv);
    outcome.push(...[...lists.outcome, ...found.outcome].map((text) => `${name} ${text}`));
    state.push(...found.state.map((text) => `${name} ${text}`));
    ops.push(...lists.ops.map((text) => `${name} ${text}`));
  };
  check("start", scenario.state0, { outcome: [], ops: [] });
  for (const [i, step] of scenario.steps.entries()) {
    check(`step ${i + 1} ${step.do}:`, step.expect, perform(run, step));
  }
  if (scenario.finalFlash !== undefined) {
    differ(state, "final flash", digests.whole(flash), scenario.finalFlash.sha256);
  }
  return { outcome, state, ops };
}

function perform(run: Run, step: Step): { outcome: string[]; ops: string[] } {
  const { config, flash } = run;
  const { expect } = step;
  const outcome: string[] = [];
  const ops: string[] = [];
  switch (step.do) {
    case "boot": {
      const result = boot(config, flash, { cutBefore: step.cutBefore, nv: run.nv });
      run.nv = result.nv.map((value) => value);
      compareBoot(result, expect, outcome);
      if (Array.isArray(expect.cutOp)) {
        differ(ops, "cut operation", operationRecord(result.cutAt), expect.cutOp.join());
      }
      // The recording counts in `total` the operation that power was lost before.
      const counted = { ...result.ops, total: result.ops.total + (result.outcome === "cut" ? 1 : 0) };
      for (const [field, want] of Object.entries(expect.ops ?? {})) {
        if (field in counted) {
          differ(ops, field, counted[field as keyof typeof counted], want);
        }
      }
      if (expect.misaligned !== undefined) {
        differ(ops, "misaligned", result.ops.misaligned, expect.misaligned);
      }
      if (expect.ops !== undefined) {
        differ(ops, "rewrites", result.ops.rewrites, expect.rewrites ?? 0);
      }
      break;
    }
    case "setPending":
    case "setConfirmed":
    case "setNext": {
      const plan = { cutBefore: step.cutBefore };
      const image = step.image ?? 0;
      const result =
        step.do === "setPending"
          ? setPending(config, flash, { permanent: step.permanent ?? false, image }, plan)
          : step.do === "setConfirmed"
            ? setConfirmed(config, flash, { image }, plan)
            : setNext(config, flash, { area: step.area ?? "", active: step.active ?? false, confirm: step.confirm ?? false }, plan);
      differ(outcome, "outcome", result.outcome, expect.outcome);
      differ(outcome, "rc", result.rc, expect.rc);
      if (expect.writes !== undefined) {
        differ(ops, "writes", result.ops.writes, expect.writes);
      }
      differ(ops, "rewrites", result.ops.rewrites, expect.rewrites ?? 0);
      break;
    }
    case "upload": {
      if (step.data === undefined) {
        throw new Error("upload without data");
      }
      flash.install(step.area ?? "", run.vectors.binary(step.data), step.off ?? 0);
      break;
    }
    case "eraseArea":
      flash.wipe(step.area ?? "");
      break;
    case "xor": {
      const area = flash.area(step.area ?? "");
      const old = flash.read(area, step.off ?? 0, 1)?.[0] ?? 0;
      flash.poke(area.name, step.off ?? 0, Uint8Array.of(old ^ (step.mask ?? 0)));
      break;
    }
    case "nv":
      run.nv[step.image ?? 0] = step.value ?? 0;
      break;
    default:
      outcome.push(`unknown step ${JSON.stringify(step.do)}`);
  }
  return { outcome, ops };
}

function compareBoot(result: BootResult, expect: ExpectedStep, into: string[]): void {
  differ(into, "outcome", result.outcome, expect.outcome);
  differ(into, "slot", result.slot, expect.slot);
  differ(into, "swapTypeBefore", result.swapType, expect.swapTypeBefore);
  const header = result.header;
  differ(into, "version", header && formatVersion(header.version), expect.hdr?.version);
  if (header !== undefined && expect.hdr !== undefined) {
    differ(into, "imgSize", header.imgSize, expect.hdr.imgSize);
    differ(into, "hdrSize", header.hdrSize, expect.hdr.hdrSize);
    differ(into, "protTlvSize", header.protTlvSize, expect.hdr.protTlvSize);
    differ(into, "flags", header.flags, expect.hdr.flags);
    differ(into, "loadAddr", header.loadAddr, expect.hdr.loadAddr);
  }
}
