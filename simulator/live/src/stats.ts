// SPDX-License-Identifier: Apache-2.0

/** Counts since the start, but for `up`. */
export interface LiveStats {
  devices: number;
  /** Devices whose link is up now. */
  up: number;
  connects: number;
  losses: number;
  refused: number;
  reports: number;
  acknowledged: number;
  resent: number;
  dropped: number;
  commands: number;
  blocks: number;
  undecodable: number;
  broken: number;
  /** The latest trouble with a connection, for people; empty when there was none. */
  trouble: string;
}

export function newStats(devices: number): LiveStats {
  return {
    devices,
    up: 0,
    connects: 0,
    losses: 0,
    refused: 0,
    reports: 0,
    acknowledged: 0,
    resent: 0,
    dropped: 0,
    commands: 0,
    blocks: 0,
    undecodable: 0,
    broken: 0,
    trouble: "",
  };
}
