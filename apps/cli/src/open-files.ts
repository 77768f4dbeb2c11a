// SPDX-License-Identifier: Apache-2.0

/** Files a process needs besides one socket for each device. */
export const spareFiles = 500;

/** Open files this process may have; its children inherit the limit. Node has raised the soft limit to the hard one. */
export function openFilesMax(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft: number | string } } };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === "number" ? soft : Number.POSITIVE_INFINITY;
}
