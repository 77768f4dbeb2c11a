// SPDX-License-Identifier: Apache-2.0
// A rollout's members by the door they came through: how many, what came of them, and what such devices can tell at all.
import { type AssignmentState, assignmentStates, type Rollout } from "@coalmine/core";
import { type DoorEvidence, evidenceByDoor, imageEvidence } from "./abilities.ts";
import type { HostState } from "./conductor.ts";
import type { DeviceRecord } from "./inventory.ts";

export interface DoorReport extends DoorEvidence {
  readonly exposed: number;
  /** Members by state, without zeros; they sum to `devices`. */
  readonly states: Readonly<Partial<Record<AssignmentState, number>>>;
  /** Crashes that they told of. */
  readonly crashes: number;
}

/** One line for each door and kind of evidence; members whose device is unknown by now are left out. */
export function doorsOf(rollout: Rollout, devices: HostState["devices"]): DoorReport[] {
  const members = rollout.members.flatMap((member) => {
    const device = devices.get(member.device);
    return device === undefined ? [] : [{ member, device }];
  });
  return evidenceByDoor(members.map(({ device }) => device)).map((group) => {
    const own = members.filter(({ device }) => belongs(device, group));
    const states = assignmentStates.flatMap((state): [AssignmentState, number][] => {
      const count = own.filter(({ member }) => member.state === state).length;
      return count === 0 ? [] : [[state, count]];
    });
    return {
      ...group,
      exposed: own.filter(({ member }) => member.startedAt !== null).length,
      states: Object.fromEntries(states),
      crashes: own.reduce((sum, { member }) => sum + member.crashes, 0),
    };
  });
}

function belongs(device: DeviceRecord, { door, image }: DoorEvidence): boolean {
  return device.door === door && imageEvidence(device) === image;
}

const proofs = { hash: "its hash", version: "its version", claim: "the device's word" } as const;

/** Cells of a table for people. */
export function doorCells(door: DoorReport): string[] {
  return [
    door.door,
    String(door.devices),
    proofs[door.image],
    String(door.exposed),
    Object.entries(door.states).map(([state, count]) => `${count} ${state}`).join(", "),
    door.cannotTell.length === 0 ? "-" : door.cannotTell.join("; "),
  ];
}

export const doorTitles: readonly string[] = ["door", "devices", "image known by", "exposed", "states", "cannot tell"];
