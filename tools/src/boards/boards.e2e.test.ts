// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { findQemu } from "@coalmine/boards";
import { findImages } from "./images.ts";
import { BoardLab } from "./lab.ts";
import { cuts } from "./power.ts";

test("a real MCUboot survives losses of power in a few places of an upgrade and of its revert; all of them: npm run boards", async (ctx) => {
  const images = findImages(process.env["COALMINE_BOARD_IMAGES"]);
  if ("reason" in images) {
    return ctx.skip(images.reason);
  }
  if (findQemu() === undefined) {
    return ctx.skip("qemu-system-arm is not installed (Debian: apt install qemu-system-arm)");
  }
  await using lab = await BoardLab.start(images, () => undefined);
  for (const direction of ["upgrade", "revert"] as const) {
    expect(await cuts(lab, direction, 150)).toMatchObject({ ok: true });
  }
}, 300_000);
