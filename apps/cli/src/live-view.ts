// SPDX-License-Identifier: Apache-2.0
// What a person sees while rollouts run: a bar for each stage and the counts by state, redrawn in place on a terminal;
// elsewhere a line now and then. Decisions are lines that stay.
import { type AssignmentState, formatDuration, type Millis, type Rollout, type RolloutId, stateCounts, variantKey } from "@coalmine/core";
import type { AuditRecord } from "@coalmine/orchestrator";
import process from "node:process";
import { styleText } from "node:util";
import { bar } from "./output/progress.ts";
import { printable, terminalWidth, wrap } from "./output/text.ts";

type Colour = "green" | "red" | "yellow" | "dim" | "bold";

const redrawEvery = 100;
const plainEvery = 5_000;

/** States that a bar counts as arrived, and those that end without the release. */
const good: readonly AssignmentState[] = ["confirmed", "soaking", "healthy"];
const bad: readonly AssignmentState[] = ["failed", "reverted", "refused", "missing", "quarantined", "rolled_back"];

export interface ViewSource {
  /** Device time since the start. */
  readonly elapsed: () => Millis;
  /** The rollout to show; undefined before the first. */
  readonly rollout: () => Rollout | undefined;
  /** A line about the fleet: how many devices are connected. */
  readonly fleet: () => string;
}

export class LiveView {
  readonly #source: ViewSource;
  readonly #stream: NodeJS.WriteStream;
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;
  #writtenAt = 0;
  #last = "";
  #kept: RolloutId | undefined;

  constructor(source: ViewSource, stream: NodeJS.WriteStream = process.stderr) {
    this.#source = source;
    this.#stream = stream;
    this.#timer = setInterval(() => this.#draw(), stream.isTTY ? redrawEvery : 1_000);
  }

  /** A line that stays; on a terminal it is broken between words, and goes on below where it began. */
  line(text: string, colour?: Colour): void {
    this.#erase();
    const clock = stamp(this.#source.elapsed());
    const [first = "", ...rest] = this.#stream.isTTY ? wrap(printable(text), terminalWidth(this.#stream) - clock.length - 3) : [printable(text)];
    const shown = [`${this.#styled("dim", clock)}  ${this.#coloured(colour, first)}`, ...rest.map((more) => `${" ".repeat(clock.length + 2)}${this.#coloured(colour, more)}`)];
    this.#stream.write(`${shown.join("\n")}\n`);
    this.#draw();
  }

  /** Leaves the moving part standing as it is, once its rollout is over; the next one is drawn below. */
  keep(): void {
    const rollout = this.#source.rollout();
    if (!this.#stream.isTTY || rollout === undefined) {
      return;
    }
    this.#erase();
    this.#stream.write(`${this.#block(rollout).join("\n")}\n\n`);
    this.#kept = rollout.id;
  }

  /** Takes the moving part away. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  #erase(): void {
    if (this.#drawn > 0) {
      this.#stream.write(`\u001b[${this.#drawn}A\u001b[0J`);
      this.#drawn = 0;
    }
  }

  #draw(): void {
    if (this.#timer === undefined) {
      return;
    }
    const rollout = this.#source.rollout();
    if (this.#stream.isTTY) {
      this.#erase();
      if (rollout !== undefined && rollout.id === this.#kept) {
        return;
      }
      const lines = rollout === undefined ? [this.#source.fleet()] : this.#block(rollout);
      this.#stream.write(`${lines.join("\n")}\n`);
      this.#drawn = lines.length;
      return;
    }
    const line = rollout === undefined ? this.#source.fleet() : `${rollout.id} ${rollout.release}: ${counts(rollout)}`;
    const now = performance.now();
    if (line !== this.#last && now - this.#writtenAt >= plainEvery) {
      this.#stream.write(`${stamp(this.#source.elapsed())}  ${line}\n`);
      this.#last = line;
      this.#writtenAt = now;
    }
  }

  #block(rollout: Rollout): string[] {
    const width = Math.max(...rollout.stages.map((stage) => stage.name.length));
    const digits = String(Math.max(...rollout.stages.map((stage) => stage.size))).length;
    const lines = rollout.stages.map((stage, index) => {
      const of = (states: readonly AssignmentState[]): number => states.reduce((sum, state) => sum + stage.counts[state], 0);
      const there = of(good);
      const lost = of(bad);
      const word = index > rollout.stage ? this.#styled("dim", "closed") : this.#verdict(stage.verdict.kind, rollout.status === "halted" && index === rollout.stage);
      const drawn = lost > 0 ? this.#styled("red", bar(there + lost, stage.size)) : this.#styled("green", bar(there, stage.size));
      return `  ${stage.name.padEnd(width)} ${drawn} ${String(there).padStart(digits)}/${String(stage.size).padEnd(digits)}  ${word}${lost === 0 ? "" : this.#styled("red", `  ${bad.flatMap((state) => (stage.counts[state] === 0 ? [] : [`${stage.counts[state]} ${state}`])).join(", ")}`)}`;
    });
    const columns = terminalWidth(this.#stream) - 1;
    const head = `${rollout.id}  release ${rollout.release}  ${rollout.status}  device time ${formatDuration(this.#source.elapsed())}`;
    return [this.#styled("bold", head.slice(0, columns)), ...lines, `  ${counts(rollout)}`.slice(0, columns)];
  }

  #verdict(kind: string, halted: boolean): string {
    return halted ? this.#styled("red", "halted") : kind === "pass" ? this.#styled("green", "pass") : kind === "fail" ? this.#styled("red", "fail") : "open";
  }

  #coloured(colour: Colour | undefined, text: string): string {
    return colour === undefined ? text : this.#styled(colour, text);
  }

  #styled(colour: Colour, text: string): string {
    return styleText(colour, text, { stream: this.#stream, validateStream: true });
  }
}

function counts(rollout: Rollout): string {
  return Object.entries(stateCounts(rollout))
    .map(([state, count]) => `${state} ${count}`)
    .join(", ");
}

/** Device time since the start as `1d 03:04:05`. */
function stamp(elapsed: Millis): string {
  const seconds = Math.floor(elapsed / 1_000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  return `${days === 0 ? "" : `${days}d `}${two(Math.floor(seconds / 3_600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** One line about a decision; undefined for those that come by the hundred. */
export function decisionLine(record: AuditRecord, stageOf: (rollout: string, stage: number) => { readonly name: string; readonly size: number } | undefined): { readonly text: string; readonly colour?: Colour } | undefined {
  switch (record.type) {
    case "release-created":
      return { text: `release ${record.release} registered: ${record.artifacts.map((artifact) => `${variantKey(artifact.variant)} ${artifact.size} bytes`).join(", ")}` };
    case "release-barred":
      // The line before says the rest of the reason.
      return { text: `release ${record.release} barred: ${record.authority.reason.split(": ", 1)[0]}`, colour: "red" };
    case "rollout-started":
      return { text: `${record.rollout}: release ${record.release} to ${record.members.length} devices, order drawn with seed ${record.seed}`, colour: "bold" };
    case "stage-opened": {
      const stage = stageOf(record.rollout, record.stage);
      return { text: `${record.rollout}: stage "${stage?.name}" opened for ${stage?.size} devices` };
    }
    case "stage-closed": {
      const stage = stageOf(record.rollout, record.stage);
      // The first clause says what was seen; how sure that makes is in the report.
      const gates = record.gates.map((gate) => `${gate.gate}${gate.verdict === "pass" ? "" : ` ${gate.verdict}`}: ${gate.reason.split("; ", 1)[0]}`).join("; ");
      return { text: `${record.rollout}: stage "${stage?.name}" ${record.verdict.kind} (${gates})`, colour: "green" };
    }
    case "moved":
      return { text: `${record.rollout}: ${record.device} ${record.state}: ${record.reason}`, colour: "yellow" };
    case "promoted":
      return { text: `${record.rollout}: promoted by ${record.authority.by}: ${record.authority.reason}` };
    case "held":
      return { text: `${record.rollout}: held: ${record.authority.reason}`, colour: "yellow" };
    case "halted":
      return { text: `${record.rollout}: HALTED by ${record.gate}: ${record.authority.reason}`, colour: "red" };
    case "resumed":
    case "aborted":
      return { text: `${record.rollout}: ${record.type} by ${record.authority.by}: ${record.authority.reason}`, colour: "yellow" };
    case "completed":
      return { text: `${record.rollout}: complete, verdict ${record.verdict.kind}`, colour: "green" };
    default:
      return undefined;
  }
}

