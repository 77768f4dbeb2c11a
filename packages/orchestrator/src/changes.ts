// SPDX-License-Identifier: Apache-2.0
// What people change outside rollouts, and what the driver notes: tags, cohorts, releases, restarts, links.
import { isActive, noteAbsence, type Instant } from "@coalmine/core";
import type { HostState } from "./conductor.ts";
import type { Change } from "./entry.ts";
import { foldLinkLost, foldLinkRestored } from "./listening.ts";

/** Folds what a person, or the driver, changed outside rollouts into the state. */
export function foldChange(state: HostState, change: Change, at: Instant): void {
  switch (change.type) {
    case "device-tagged": {
      const device = state.devices.get(change.device);
      if (device !== undefined) {
        const tags = new Set(device.tags);
        for (const tag of change.remove) {
          tags.delete(tag);
        }
        for (const tag of change.add) {
          tags.add(tag);
        }
        device.tags = [...tags].sort();
      }
      break;
    }
    case "cohort-created":
      state.cohorts.set(change.name, change.selector);
      break;
    case "release-created":
      state.releases.set(change.release, {
        id: change.release,
        version: change.version,
        artifacts: change.artifacts,
        notes: change.notes,
        storage: change.storage ?? null,
        migration: change.migration ?? false,
        from: change.from ?? [],
        hop: change.hop ?? null,
        symbols: {},
        matrix: null,
        barred: null,
        archived: null,
        revision: 1,
      });
      break;
    case "release-archived":
    case "release-restored": {
      const release = state.releases.get(change.release);
      if (release !== undefined) {
        release.archived = change.type === "release-archived" ? { at, files: change.files, bytes: change.bytes } : null;
        release.revision += 1;
      }
      break;
    }
    case "symbols-added": {
      const release = state.releases.get(change.release);
      if (release !== undefined) {
        release.symbols[change.buildId] = { digest: change.digest, size: change.size, imageHashes: change.imageHashes };
        release.revision += 1;
      }
      break;
    }
    case "release-attested": {
      const release = state.releases.get(change.release);
      if (release !== undefined) {
        release.matrix = { ...change.matrix, by: change.authority.by };
        release.revision += 1;
      }
      break;
    }
    case "release-barred":
    case "release-unbarred": {
      const release = state.releases.get(change.release);
      if (release !== undefined) {
        release.barred = change.type === "release-barred" ? change.authority.reason : null;
        release.revision += 1;
      }
      break;
    }
    case "restarted":
      for (const rollout of state.rollouts.values()) {
        if (isActive(rollout)) {
          noteAbsence(rollout, { from: change.heardUntil, until: at });
        }
      }
      break;
    case "link-lost":
      foldLinkLost(state.hearing, state.rollouts.values(), state.devices, change);
      break;
    case "link-restored":
      foldLinkRestored(state.hearing, state.rollouts.values(), change.door, at);
      break;
  }
}
