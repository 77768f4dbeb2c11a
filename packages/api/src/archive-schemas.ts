// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { release } from "./schemas.ts";

const file = z.object({ name: z.string(), size: z.number(), sha256: z.string() });

export const archivedRelease = z.object({ release, files: z.array(file) });

export const archiveContent = z.object({
  release: z.string(),
  at: z.string().describe("when it was archived, ISO 8601"),
  files: z.array(file).describe("as SHA256SUMS lists them; each was read back just now and has its checksum"),
  tar: file.describe("all of them as one file, the same bytes whenever it is asked for: GET /releases/ID/archive.tar"),
});
