// SPDX-License-Identifier: Apache-2.0
import { ImageFlag } from "./format.ts";
import type { Loader, SlotIndex } from "./loader.ts";
import { PRIMARY, SECONDARY, assertThat } from "./loader.ts";
import { overwrite, raiseCounter } from "./overwrite.ts";
import { dependenciesMet, slotValid } from "./slot-check.ts";
import { readTrailer, writeCopyDone } from "./trailer.ts";
import type { Flag } from "./trailer.ts";
import { checkHeader } from "./validate.ts";
import { compareVersion } from "./version.ts";

// Direct-XIP: nothing moves; the newest valid image runs from the slot it is in (MCUboot design, "Direct-XIP").

interface Choice {
  readonly available: [boolean, boolean];
  active: SlotIndex | undefined;
  imageOk: Flag;
}

/** Chooses a slot for every image; the slot of image 0, or nothing when some image has none. */
export function bootDirectXip(loader: Loader): SlotIndex | undefined {
  const choices: Choice[] = [];
  for (loader.image = 0; loader.image < loader.config.images; loader.image++) {
    if (!overwrite.readHeader(loader, PRIMARY, undefined)) {
      return undefined;
    }
    overwrite.readHeader(loader, SECONDARY, undefined);
    const ok = (slot: SlotIndex): boolean =>
      checkHeader(loader.slot(slot).header, loader.slot(slot).area.size, loader.config.enc !== null) === undefined;
    choices.push({ available: [ok(PRIMARY), ok(SECONDARY)], active: undefined, imageOk: "bad" });
  }
  for (;;) {
    for (loader.image = 0; loader.image < loader.config.images; loader.image++) {
      if (!choose(loader, choiceOf(choices, loader.image))) {
        return undefined;
      }
    }
    if (loader.config.images === 1 || allDependenciesMet(loader, choices)) {
      break;
    }
  }
  for (loader.image = 0; loader.image < loader.config.images; loader.image++) {
    const { active, imageOk } = choiceOf(choices, loader.image);
    const due = loader.config.hwRollback && (!loader.config.xipRevert || imageOk === "set");
    if (due && active !== undefined && !raiseCounter(loader, active, active)) {
      return undefined;
    }
  }
  return choiceOf(choices, 0).active;
}

/** Settles on the newest slot that holds a fit image, erasing those that failed. */
function choose(loader: Loader, choice: Choice): boolean {
  while (choice.active === undefined) {
    const slot = newest(loader, choice);
    if (slot === undefined) {
      return false;
    }
    if (builtForSlot(loader, slot) && (!loader.config.xipRevert || mayTry(loader, choice, slot)) && slotValid(loader, overwrite, slot, undefined)) {
      choice.active = slot;
    } else {
      choice.available[slot] = false;
    }
  }
  return true;
}

function newest(loader: Loader, choice: Choice): SlotIndex | undefined {
  if (choice.available[PRIMARY] && choice.available[SECONDARY]) {
    const build = loader.config.versionCmpBuild;
    return compareVersion(loader.secondary.header.version, loader.primary.header.version, { build }) > 0 ? SECONDARY : PRIMARY;
  }
  return choice.available[PRIMARY] ? PRIMARY : choice.available[SECONDARY] ? SECONDARY : undefined;
}

function builtForSlot(loader: Loader, slot: SlotIndex): boolean {
  const { area, header } = loader.slot(slot);
  return (header.flags & ImageFlag.romFixed) === 0 || header.loadAddr === area.off;
}

/** With revert: an image that was tried and not confirmed, or has no trailer, is erased; another is marked as tried. */
function mayTry(loader: Loader, choice: Choice, slot: SlotIndex): boolean {
  const { config, flash } = loader;
  const { area } = loader.slot(slot);
  const state = readTrailer(config, flash, area);
  choice.imageOk = state.imageOk;
  if (state.magic !== "good" || (state.copyDone === "set" && state.imageOk !== "set")) {
    loader.eraseSlot(slot);
    return false;
  }
  if (state.copyDone !== "set") {
    writeCopyDone(config, flash, area);
  }
  return true;
}

function allDependenciesMet(loader: Loader, choices: readonly Choice[]): boolean {
  for (loader.image = 0; loader.image < loader.config.images; loader.image++) {
    const choice = choiceOf(choices, loader.image);
    assertThat(choice.active !== undefined, "active slot");
    if (!dependenciesMet(loader, choice.active, (image) => choices[image]?.active)) {
      choice.available[choice.active] = false;
      choice.active = undefined;
      return false;
    }
  }
  return true;
}

function choiceOf(choices: readonly Choice[], image: number): Choice {
  const choice = choices[image];
  assertThat(choice !== undefined, "image index");
  return choice;
}
