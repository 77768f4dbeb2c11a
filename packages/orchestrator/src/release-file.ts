// SPDX-License-Identifier: Apache-2.0
// The manifest of a release: what `release create --manifest` reads.
import { CoalmineError, parseVariant, type Variant } from "@coalmine/core";
import { z } from "zod";
import { type Declaration, declarationFields, declared } from "./declaration.ts";
import { checkShape, readYaml } from "./plan-file.ts";

/** A release as its manifest describes it. Paths are as written, relative to the manifest. */
export interface Manifest extends Declaration {
  readonly id?: string | undefined;
  readonly notes?: string | undefined;
  readonly artifacts: readonly { readonly variant: Variant; readonly file: string; readonly format?: "swu" }[];
}

const manifestShape = z.strictObject({
  id: z.string().min(1).max(64).optional(),
  notes: z.string().max(20_000).optional(),
  artifacts: z.record(z.string(), z.union([z.string().min(1).max(4_096), z.strictObject({ swu: z.string().min(1).max(4_096) })])).default({}),
  ...declarationFields,
});

/**
 * Reads a manifest. Throws `yaml/...` or `release/manifest` naming the field.
 *
 *     id: 1.2.0
 *     artifacts: { nrf52840dk/revA/pm1: revA.signed.bin, gateway/1/ab: { swu: gateway.swu } }
 *     storage: { minRead: 1, maxRead: 2, writes: 2 }
 *     migration: true
 *     from: [{ min: "1.1.0" }]
 *     hop: "1.1.0"
 */
export function parseManifest(text: string, source = "manifest"): Manifest {
  const shape = checkShape(manifestShape as z.ZodType<z.output<typeof manifestShape>>, readYaml(text, source), { code: "release/manifest", source });
  const artifacts = Object.entries(shape.artifacts).map(([name, file]) => {
    const variant = parseVariant(name);
    if (variant === undefined) {
      throw new CoalmineError("release/manifest", `${source}: artifacts: ${JSON.stringify(name)} is no variant: write BOARD/REVISION/PARTITIONMAP, such as nrf52840dk/revA/pm1`);
    }
    return typeof file === "string" ? { variant, file } : { variant, file: file.swu, format: "swu" as const };
  });
  return {
    ...(shape.id === undefined ? {} : { id: shape.id }),
    ...(shape.notes === undefined ? {} : { notes: shape.notes }),
    artifacts,
    ...declared(shape),
  };
}
