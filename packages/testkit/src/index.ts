// SPDX-License-Identifier: Apache-2.0
export { artifactStoreContract, type ArtifactStoreHome } from "./artifact-store-contract.ts";
export { eventLogContract, type EventLogHome, logEntry, sampleEntries } from "./event-log-contract.ts";
export { FakeLinkHost, type TakenReport } from "./fake-link-host.ts";
