// SPDX-License-Identifier: Apache-2.0
export { openArchiveStore } from "./archive-store.ts";
export { openArtifactStore, type ArtifactStoreOptions } from "./artifact-store.ts";
export { CrashIndex, type CrashIndexOptions } from "./crash-index.ts";
export { openEventLog, type EventLogOptions } from "./event-log.ts";
export { memoryArtifactStore } from "./memory-artifacts.ts";
export { memoryEventLog, type MemoryEventLogOptions } from "./memory-log.ts";
