// SPDX-License-Identifier: Apache-2.0
// The small parts pages are made of. Text always goes in as text: nothing here takes HTML.
import type { ComponentChildren, JSX } from "preact";
import type { Problem } from "./api.ts";
import { count, type Group, groupOf, groupWords, stateWords, toneOf, type Tone } from "./words.ts";

const shapes: Readonly<Record<string, string>> = {
  // Shapes differ as much as colours do: an octagon, a triangle, a disc, bars.
  bad: "M5 1h6l4 4v6l-4 4H5l-4-4V5z",
  warn: "M8 1l7.5 13.5H.5z",
  good: "M1.5 8.5l2-2L6.5 9.5 12.5 3l2 2-8 8.500z",
  live: "M3 1.500l11 6.500-11 6.500z",
  hold: "M3 2h3.500v12H3zM9.500 2H13v12H9.500z",
  plain: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
};

export function Icon({ name }: { readonly name: Tone | "hold" }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={shapes[name] ?? shapes["plain"]} />
    </svg>
  );
}

/** A status or verdict: word, shape and colour say the same. */
export function Badge({ word, big = false }: { readonly word: string; readonly big?: boolean }): JSX.Element {
  const tone = toneOf(word);
  return (
    <span class={`badge ${tone}${big ? " big" : ""}`}>
      <Icon name={word === "held" ? "hold" : tone} />
      {word}
    </span>
  );
}

export function StateMark({ state }: { readonly state: string }): JSX.Element {
  return (
    <span class="state" title={stateWords[state]?.means}>
      <i class={`swatch ${groupOf(state)}`} aria-hidden="true" />
      {state.replaceAll("_", " ")}
    </span>
  );
}

const groups: readonly Group[] = ["good", "soaking", "underway", "bad", "out", "waiting"];

/** Members by what became of them, as one bar. Trouble is hatched, so that it shows without colour too. */
export function StateBar({ states, size, label }: { readonly states: Readonly<Record<string, number>>; readonly size: number; readonly label: string }): JSX.Element {
  const sums = new Map<Group, number>();
  for (const [state, devices] of Object.entries(states)) {
    sums.set(groupOf(state), (sums.get(groupOf(state)) ?? 0) + devices);
  }
  const parts = groups.flatMap((group) => (sums.get(group) === undefined ? [] : [{ group, devices: sums.get(group) as number }]));
  return (
    <div class="statebar" role="img" aria-label={`${label}: ${parts.map(({ group, devices }) => `${count(devices)} ${groupWords[group]}`).join(", ")}`}>
      {parts.map(({ group, devices }) => (
        <span key={group} class={group} style={{ flexGrow: String(devices / Math.max(1, size)) }} title={`${count(devices)} ${groupWords[group]}`} />
      ))}
    </div>
  );
}

export function Facts({ facts }: { readonly facts: readonly (readonly [string, ComponentChildren])[] }): JSX.Element {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Card({ title, aside, children, name }: { readonly title: string; readonly aside?: ComponentChildren; readonly children: ComponentChildren; readonly name?: string }): JSX.Element {
  return (
    <section class={`card ${name ?? ""}`}>
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** What to do next, where there is nothing to show. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Trouble({ problem, again }: { readonly problem: Problem; readonly again?: () => void }): JSX.Element {
  return (
    <div class="trouble" role="alert">
      <Icon name="warn" />
      <p>
        {problem.message} <code>{problem.code}</code>
      </p>
      {again === undefined ? null : (
        <button type="button" class="quiet" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Shown instead of what is not there yet. */
export function Wait({ problem, again }: { readonly problem: Problem | undefined; readonly again: () => void }): JSX.Element {
  return problem === undefined ? (
    <p class="wait" role="status">
      Asking the orchestrator …
    </p>
  ) : (
    <Trouble problem={problem} again={again} />
  );
}

export interface Column {
  readonly title: string;
  readonly number?: boolean;
}

/**
 * A table that scrolls sideways inside its card on a phone. One that has sentences in it is `stacked` there: each row below the
 * other, its cells with the titles of their columns. Roles are said, since that takes them away in some browsers.
 */
export function Table({ columns, rows, label, stacked = false }: { readonly columns: readonly Column[]; readonly rows: readonly (readonly ComponentChildren[])[]; readonly label: string; readonly stacked?: boolean }): JSX.Element {
  return (
    <div class={stacked ? "wide stacked" : "wide"} role="region" aria-label={label} tabIndex={0}>
      <table role="table">
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ title, number }) => (
              <th key={title} role="columnheader" scope="col" class={number === true ? "number" : ""}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((cells, index) => (
            // oxlint-disable-next-line react/no-array-index-key
            <tr key={index} role="row">
              {cells.map((cell, column) => (
                <td key={column} role="cell" data-title={columns[column]?.title} class={columns[column]?.number === true ? "number" : ""}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
