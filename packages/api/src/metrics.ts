// SPDX-License-Identifier: Apache-2.0
// What Prometheus reads: fleet, rollouts, gates, ingest, crashes and doors, counted when it asks.
import { isActive } from "@coalmine/core";
import { type CrashCatalogue, fleetCounts, gatesNow, type Host } from "@coalmine/orchestrator";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ApiContext } from "./context.ts";

/** How long reports took from their arrival to being durable. Filled by the driver, shown at `/metrics`. */
export interface IngestMeter {
  observe(seconds: number): void;
}

/** Counts of one door, by name; asked for at each scrape. */
export interface DoorMeter {
  readonly door: string;
  readonly stats: () => Readonly<Record<string, number>>;
}

/** Rollouts that have ended stay visible until this many newer ones have begun. */
const rolloutsShown = 20;

/** Buckets for a store that syncs to disk: a fraction of a millisecond to seconds. */
const ingestBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export function newIngestMeter(): Histogram {
  return new Histogram({ name: "coalmine_ingest_seconds", help: "From the arrival of a report to its being durable: what a device waits for its acknowledgement", buckets: ingestBuckets, registers: [] });
}

export interface MetricsSource extends Pick<ApiContext, "host" | "log" | "clock" | "crashes"> {
  readonly ingest?: Histogram | undefined;
  readonly doors?: readonly DoorMeter[] | undefined;
}

/** A registry over the orchestrator. Reading it walks the fleet once. */
export function metricsRegistry(source: MetricsSource): Registry {
  const { host, log, clock } = source;
  const { state } = host.conductor;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[], collect: (set: (labels: Record<L, string>, value: number) => void) => void): void => {
    void new Gauge({
      name: `coalmine_${name}`,
      help,
      labelNames: [...labelNames],
      registers,
      collect() {
        this.reset();
        collect((labels, value) => this.set(labels, value));
      },
    });
  };
  const counter = (name: string, help: string, read: () => number): void => {
    void new Counter({
      name: `coalmine_${name}_total`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };

  counter("reports", "Reports taken in", () => state.counters.reports);
  counter("duplicates", "Reports that had come before, by boot and sequence", () => state.counters.duplicates);
  counter("late_reports", "Reports that something newer of their device had overtaken", () => state.counters.late);
  counter("undecodable", "Messages that are no report", () => state.counters.undecodable);
  counter("log_entries", "Entries of the event log", () => log.length);
  gauge("store_failed", "1 when the store can no longer be written: nothing is acknowledged, no offer leaves", [], (set) => set({}, host.failure === undefined ? 0 : 1));
  if (source.ingest !== undefined) {
    registry.registerMetric(source.ingest);
  }
  fleetMetrics();
  gauge("link_down", "1 while nothing can come through a door, a broker being away; 0 for one that was down before", ["door"], (set) => {
    for (const door of Object.keys(state.hearing.unheard)) {
      set({ door }, 0);
    }
    for (const door of Object.keys(state.hearing.down)) {
      set({ door }, 1);
    }
  });
  rolloutMetrics(gauge, host, clock);
  if (source.crashes !== undefined) {
    crashMetrics(gauge, counter, source.crashes);
  }
  gauge("door", "What a door to devices counts, by the door's own names", ["door", "stat"], (set) => {
    for (const { door, stats } of source.doors ?? []) {
      for (const [stat, value] of Object.entries(stats())) {
        set({ door, stat }, value);
      }
    }
  });
  return registry;

  function fleetMetrics(): void {
    gauge("devices", "Devices that have reported, by the door they came through last", ["door"], (set) => {
      const doors = new Map<string, number>();
      for (const device of state.devices.values()) {
        doors.set(device.door, (doors.get(device.door) ?? 0) + 1);
      }
      doors.forEach((devices, door) => set({ door }, devices));
    });
    gauge("fleet", "Devices in a condition: silent beyond their duty cycle, on trial with an unconfirmed image, without a hello, crashed at least once", ["condition"], (set) => {
      const { silent, unconfirmed, unknown, crashed } = fleetCounts(state, clock.now());
      for (const [condition, value] of Object.entries({ silent, unconfirmed, unknown, crashed })) {
        set({ condition }, value);
      }
    });
    gauge("release_devices", "Devices that run a release", ["release", "version"], (set) => {
      for (const { name, version, devices } of fleetCounts(state, clock.now()).releases) {
        set({ release: name, version }, devices);
      }
    });
  }
}

type GaugeMaker = <L extends string>(name: string, help: string, labels: readonly L[], collect: (set: (labels: Record<L, string>, value: number) => void) => void) => void;

function rolloutMetrics(gauge: GaugeMaker, host: Host, clock: ApiContext["clock"]): void {
  const { state } = host.conductor;
  const shown = () => [...state.rollouts.values()].slice(-rolloutsShown);
  gauge("rollouts", "Rollouts by status", ["status"], (set) => {
    const counts: Record<string, number> = { running: 0, held: 0, halted: 0, aborted: 0, complete: 0 };
    for (const rollout of state.rollouts.values()) {
      counts[rollout.status] = (counts[rollout.status] ?? 0) + 1;
    }
    Object.entries(counts).forEach(([status, value]) => set({ status }, value));
  });
  gauge("rollout_devices", "Members of a rollout by stage and state; they sum to its population", ["rollout", "release", "stage", "state"], (set) => {
    for (const rollout of shown()) {
      for (const stage of rollout.stages) {
        for (const [name, value] of Object.entries(stage.counts)) {
          if (value > 0) {
            set({ rollout: rollout.id, release: rollout.release, stage: stage.name, state: name }, value);
          }
        }
      }
    }
  });
  gauge("rollout_exposed_devices", "Devices whose update was seen to begin", ["rollout", "release"], (set) => {
    for (const rollout of shown()) {
      set({ rollout: rollout.id, release: rollout.release }, rollout.members.reduce((sum, member) => sum + (member.startedAt === null ? 0 : 1), 0));
    }
  });
  gauge("rollout_stage", "Number of the newest open stage, from 1; 0 before the first", ["rollout", "release"], (set) => {
    for (const rollout of shown()) {
      set({ rollout: rollout.id, release: rollout.release }, rollout.stage + 1);
    }
  });
  const gates = () =>
    [...state.rollouts.values()].filter(isActive).flatMap((rollout) => gatesNow(rollout, host.conductor.judge, clock.now()).map((reading) => ({ rollout: rollout.id as string, gate: reading.gate, reading })));
  gauge("gate_verdict", "1 pass, 0 inconclusive, -1 fail, as the gate stands now", ["rollout", "gate"], (set) => {
    for (const { rollout, gate, reading } of gates()) {
      set({ rollout, gate }, reading.verdict === "pass" ? 1 : reading.verdict === "fail" ? -1 : 0);
    }
  });
  gauge("gate_estimate", "The gate's metric in each arm, in its own unit; exposed devices are `canary`", ["rollout", "gate", "arm"], (set) => {
    for (const { rollout, gate, reading } of gates()) {
      for (const arm of ["canary", "control"] as const) {
        const estimate = reading[arm]?.estimate ?? null;
        if (estimate !== null) {
          set({ rollout, gate, arm }, estimate);
        }
      }
    }
  });
  gauge("gate_ln_evidence", "Natural logarithm of the gate's e-values: `harm` halts and `pass` lets pass at its threshold", ["rollout", "gate", "of"], (set) => {
    for (const { rollout, gate, reading } of gates()) {
      if (reading.evidence !== undefined) {
        set({ rollout, gate, of: "harm" }, reading.evidence.lnEHalt);
        set({ rollout, gate, of: "pass" }, reading.evidence.lnEPass);
        set({ rollout, gate, of: "harm-threshold" }, reading.evidence.haltAt);
        set({ rollout, gate, of: "pass-threshold" }, reading.evidence.passAt);
      }
    }
  });
}

function crashMetrics(gauge: GaugeMaker, counter: (name: string, help: string, read: () => number) => void, crashes: CrashCatalogue): void {
  counter("crashes", "Crash reports taken in", () => crashes.totals().crashes);
  gauge("crash_issues", "Crashes by signature: issues that are known", [], (set) => set({}, crashes.totals().issues));
  gauge("crash_files", "Logs and dumps from devices by state: whole dumps, still arriving, refused", ["state"], (set) => {
    const { dumps, open, refused } = crashes.totals();
    Object.entries({ dumps, open, refused }).forEach(([state, value]) => set({ state }, value));
  });
  gauge("crash_file_bytes", "Bytes of logs and dumps that are kept", [], (set) => set({}, crashes.totals().bytes));
}
