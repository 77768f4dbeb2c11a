// SPDX-License-Identifier: Apache-2.0
// What a client receives, as types: those of the schemas that describe the API.
import type { z } from "zod";
import type * as archives from "./archive-schemas.ts";
import type * as crashes from "./crash-schemas.ts";
import type * as schemas from "./schemas.ts";
import type * as waysBack from "./way-back-schemas.ts";

export type ArchiveContentView = z.output<typeof archives.archiveContent>;
export type AuditLineView = z.output<typeof schemas.auditPage>["records"][number];
export type AuditPageView = z.output<typeof schemas.auditPage>;
export type CountersView = z.output<typeof schemas.counters>;
export type CrashFileView = z.output<typeof crashes.deviceCrashes>["files"][number];
export type CrashIssueView = z.output<typeof crashes.crashIssue>;
export type CrashListView = z.output<typeof crashes.crashList>;
export type DeviceCrashesView = z.output<typeof crashes.deviceCrashes>;
export type DeviceTimelineView = z.output<typeof schemas.timeline>;
export type DeviceView = z.output<typeof schemas.device>;
export type FleetPageView = z.output<typeof schemas.fleetPage>;
export type FleetView = z.output<typeof schemas.fleet>;
export type MemberPageView = z.output<typeof schemas.memberPage>;
export type MembershipView = z.output<typeof schemas.membership>;
export type PowerView = z.output<typeof schemas.power>;
export type PreflightView = z.output<typeof schemas.preflight>;
export type ReleaseView = z.output<typeof schemas.release>;
export type RollbackInventoryView = z.output<typeof schemas.rollbackInventory>;
export type RollbackPlanView = z.output<typeof schemas.rollbackPlan>;
export type RolloutProgressView = z.output<typeof schemas.rolloutProgress>;
export type RolloutSeriesView = z.output<typeof schemas.rolloutSeries>;
export type RolloutSummaryView = z.output<typeof schemas.rolloutList>["rollouts"][number];
export type RolloutView = z.output<typeof schemas.rollout>;
export type SessionView = z.output<typeof schemas.session>;
export type WayBackPageView = z.output<typeof waysBack.wayBackPage>;
