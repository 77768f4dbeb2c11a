// SPDX-License-Identifier: Apache-2.0
// What is the matter and what to press.
import type { RolloutProgressView, RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import type { Order } from "./order-dialog.tsx";
import { Icon } from "./parts.tsx";
import { link } from "./router.ts";
import { ago, count, devices, duration, exactMoment, percent } from "./words.ts";

/** An order about the rollout, or the rollout that takes it back. */
export type Press = Order | "rollback";

interface Said {
  readonly tone: "good" | "bad" | "warn" | "live" | "plain";
  readonly icon: "good" | "bad" | "hold" | "live" | "plain";
  readonly headline: string;
  /** When, in a smaller line. */
  readonly when?: string;
  readonly quote?: string;
  readonly advice: readonly string[];
  /** The first is what one would press. */
  readonly orders: readonly (readonly [order: Press, label: string])[];
}

const bad = ["reverted", "failed", "refused", "missing", "quarantined"] as const;

export function Verdict({ rollout, progress, onOrder }: { readonly rollout: RolloutView; readonly progress: RolloutProgressView | undefined; readonly onOrder: (order: Press) => void }): JSX.Element {
  const said = sayOf(rollout, progress);
  const { states } = rollout;
  const worst = bad.find((state) => states[state] !== undefined);
  const trouble = bad.flatMap((state) => (states[state] === undefined ? [] : [`${count(states[state])} ${state}`]));
  return (
    <section class={`verdict ${said.tone}`} aria-labelledby="verdict-title">
      <div class="verdict-words">
        <h2 id="verdict-title">
          <Icon name={said.icon} />
          <span>{said.headline}</span>
        </h2>
        {said.when === undefined ? null : <p class="when">{said.when}</p>}
        {said.quote === undefined ? null : <blockquote>{said.quote}</blockquote>}
        {said.advice.length === 0 ? null : (
          <ul class="advice">
            {said.advice.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        )}
        {said.orders.length === 0 ? null : (
          <div class="buttons">
            {said.orders.map(([order, label], index) => (
              <button key={order} type="button" class={order === "halt" ? "danger" : index === 0 && said.tone !== "good" && said.tone !== "plain" ? "primary" : ""} onClick={() => onOrder(order)}>
                {label}
              </button>
            ))}
          </div>
        )}
        {rollout.rolledBackBy.length === 0 && rollout.rollback === null ? null : (
          <p class="links">
            {rollout.rollback === null ? "Brought back by" : "It brings back the devices of"}{" "}
            {(rollout.rollback === null ? rollout.rolledBackBy : [rollout.rollback.of]).map((id) => (
              <a key={id} href={link(["rollouts", id])}>
                {id}{" "}
              </a>
            ))}
          </p>
        )}
        {trouble.length === 0 ? null : (
          <p class="links">
            Look closer: <a href={link(["crashes"], { release: rollout.release })}>crashes of the release</a>, <a href={link(["rollouts", rollout.id, "members"], { state: worst })}>the devices</a>, <a href={`/rollouts/${encodeURIComponent(rollout.id)}/report?format=html`}>the report</a>
          </p>
        )}
      </div>
      <dl class="verdict-numbers">
        <div>
          <dt>exposed</dt>
          <dd>
            <span class="value">{count(rollout.exposed)}</span> of {count(rollout.population)} ({percent(rollout.exposed / Math.max(1, rollout.population))})
          </dd>
        </div>
        <div>
          <dt>healthy</dt>
          <dd>
            <span class="value">{count(states["healthy"] ?? 0)}</span>
          </dd>
        </div>
        <div>
          <dt>in trouble</dt>
          <dd>
            <span class={`value ${trouble.length > 0 ? "bad-text" : ""}`}>{count(bad.reduce((sum, state) => sum + (states[state] ?? 0), 0))}</span> {trouble.join(", ")}
          </dd>
        </div>
      </dl>
    </section>
  );
}

/** Devices that began it and have not said that they are off it again. */
function stillOnIt({ exposed, states }: RolloutView): number {
  return exposed - (states["reverted"] ?? 0) - (states["rolled_back"] ?? 0) - (states["refused"] ?? 0);
}

function sayOf(rollout: RolloutView, progress: RolloutProgressView | undefined): Said {
  const now = progress?.now;
  const index = rollout.stages.findLastIndex((stage) => stage.openedAt !== null);
  const stage = rollout.stages[index];
  const where = stage === undefined ? "before its first stage" : `in stage ${stage.name} (${index + 1} of ${rollout.stages.length})`;
  const when = rollout.endedAt === null ? {} : { when: `${ago(rollout.endedAt, now)}, ${exactMoment(rollout.endedAt)}` };
  const next = rollout.stages[index + 1];
  const goesBack = stillOnIt(rollout) > 0 && rollout.rollback === null && rollout.rolledBackBy.length === 0;
  const takenBack: Said["orders"] = goesBack ? [["rollback", "Roll back …"]] : [];
  switch (rollout.status) {
    case "halted": {
      const by = rollout.haltedBy?.gate;
      const person = by === "operator";
      const back = rollout.states["reverted"] ?? 0;
      const still = stillOnIt(rollout);
      return {
        tone: "bad",
        icon: "bad",
        headline: `Halted ${person ? "by a person" : `by gate ${by ?? "unknown"}`} ${where}`,
        ...when,
        ...(rollout.haltedBy === null ? {} : { quote: rollout.haltedBy.reason }),
        advice: [
          "No further device gets it; offers that could be were taken back.",
          rollout.exposed === 0 ? "No device had begun it." : `${devices(rollout.exposed)} had begun it: ${back === 0 ? "none has gone back" : `${count(back)} went back to the old image by ${back === 1 ? "itself" : "themselves"}`}${still > 0 ? `, ${count(still)} may still run it` : ""}.`,
          goesBack
            ? `If the release is bad, roll it back; to end it for good leaves ${still === 1 ? "that device" : "those devices"} on it. Resume only if you know that the gate is wrong.`
            : "Nothing is urgent now. If the release is bad, end it for good. Resume only if you know that the gate is wrong.",
        ],
        orders: [
          ...takenBack,
          ["abort", "End for good …"],
          ["resume", "Resume …"],
        ],
      };
    }
    case "held":
      return {
        tone: "warn",
        icon: "hold",
        headline: `On hold ${where}: a person must decide`,
        ...(rollout.missing.length === 0 ? {} : { quote: rollout.missing.join("; ") }),
        advice: [
          "The evidence neither shows harm nor excludes it. No further stage opens by itself; devices of open stages stay on the release.",
          next === undefined ? "Resume to go on watching, or halt." : `Promote to give it to ${count(next.size)} more devices without a pass, resume to go on watching, or halt.`,
        ],
        orders: [
          ["promote", "Promote …"],
          ["resume", "Resume …"],
          ["halt", "Halt …"],
          ...takenBack,
          ["abort", "End for good …"],
        ],
      };
    case "running":
      return {
        tone: "live",
        icon: "live",
        headline: `Running ${where}${now === undefined ? "" : `, for ${duration(Date.parse(now) - Date.parse(rollout.startedAt))}`}`,
        ...(rollout.missing.length === 0 ? {} : { quote: `Still missing for a pass: ${rollout.missing.join("; ")}` }),
        advice: [next === undefined ? "Nothing to do: it completes when its last stage has settled." : `Nothing to do: stage ${next.name} (${count(next.size)} devices) opens by itself when every gate passes, and any gate that fails halts it.`],
        orders: [
          ["halt", "Halt …"],
          ["hold", "Hold …"],
          ["promote", "Promote …"],
        ],
      };
    case "complete":
      return { tone: "good", icon: "good", headline: `Complete: the release reached ${count(rollout.exposed)} of ${count(rollout.population)} devices`, ...when, advice: [], orders: takenBack };
    default:
      return { tone: "plain", icon: "plain", headline: rollout.rolledBackBy.length > 0 ? "Ended: it was rolled back" : rollout.status === "aborted" ? "Ended for good" : rollout.status, ...when, ...(rollout.haltedBy === null ? {} : { quote: `It had been halted by ${rollout.haltedBy.gate}: ${rollout.haltedBy.reason}` }), advice: [], orders: takenBack };
  }
}
