// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";

/** Part `index` (from 1) of `count` parts of a fleet. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Reads `I/N`, from `1/N` to `N/N`. Throws `live/shard` naming the text. */
export function parseShard(text: string): Shard {
  const match = /^(\d{1,4})\/(\d{1,4})$/.exec(text);
  const shard = { index: Number(match?.[1]), count: Number(match?.[2]) };
  if (match === null || shard.index < 1 || shard.index > shard.count) {
    throw new CoalmineError("live/shard", `${JSON.stringify(text)} is not a part of a fleet: write 1/4 for the first of four`);
  }
  return shard;
}

/** Indexes of the devices in a part: every count-th one, so that all kinds of devices are in every part. */
export function shardOf(devices: number, shard: Shard): number[] {
  const indexes: number[] = [];
  for (let index = shard.index - 1; index < devices; index += shard.count) {
    indexes.push(index);
  }
  return indexes;
}
