// SPDX-License-Identifier: Apache-2.0
// How devices would go back, in words and as a bar that leads to them.
import type { WayBackPageView } from "@coalmine/api";
import type { JSX } from "preact";
import { link } from "./router.ts";
import { count, devices, type Group, percent } from "./words.ts";

export type WayBackKind = keyof WayBackPageView["counts"];

interface KindWords {
  readonly title: string;
  readonly means: string;
  readonly group: Group;
}

/** In the order of how good it is. */
export const wayBackWords: Readonly<Record<WayBackKind, KindWords>> = {
  "swap-back": { title: "by an order", means: "the earlier image is in the other slot: no download", group: "good" },
  download: { title: "by a download", means: "the other slot keeps no earlier image that an order brings back", group: "soaking" },
  unreachable: { title: "once heard again", means: "silent for longer than its check-ins explain", group: "out" },
  refused: { title: "bootloader refuses", means: "it takes no older image, and would erase the slot", group: "bad" },
  schema: { title: "data not readable", means: "what is older cannot read what the device stores", group: "bad" },
  none: { title: "nothing to go to", means: "no earlier release is known that fits", group: "waiting" },
};

const kinds = Object.entries(wayBackWords) as [WayBackKind, KindWords][];

/** Devices by their way back: a bar, and each kind with its number as a filter. */
export function WayBackCounts({ page, query }: { readonly page: WayBackPageView; readonly query: Readonly<Record<string, string>> }): JSX.Element {
  const present = kinds.filter(([kind]) => page.counts[kind] > 0);
  return (
    <>
      <div class="statebar" role="img" aria-label={`${devices(page.devices)}: ${present.map(([kind, { title }]) => `${count(page.counts[kind])} ${title}`).join(", ")}`}>
        {present.map(([kind, { group, title }]) => (
          <span key={kind} class={group} style={{ flexGrow: String(page.counts[kind] / Math.max(1, page.devices)) }} title={`${count(page.counts[kind])} ${title}`} />
        ))}
      </div>
      <ul class="kinds">
        {present.map(([kind, { title, means, group }]) => (
          <li key={kind}>
            <a href={link(["way-back"], { ...query, way: kind })} aria-current={query["way"] === kind ? "true" : undefined}>
              <span class="state">
                <i class={`swatch ${group}`} aria-hidden="true" />
                {title}
              </span>
              <span class="number">
                {count(page.counts[kind])} <span class="soft">{percent(page.counts[kind] / Math.max(1, page.devices))}</span>
              </span>
              <span class="soft small">{means}</span>
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}

/** What must not happen next: an upload to devices that have one good image left. */
export function LastWayBack({ last, query }: { readonly last: number; readonly query: Readonly<Record<string, string>> }): JSX.Element | null {
  return last === 0 ? null : (
    <p class="note warn">
      <a href={link(["way-back"], { ...query, last: "true" })}>{devices(last)}</a> {last === 1 ? "runs" : "run"} an image that is barred or on trial and {last === 1 ? "keeps" : "keep"} the last good one in the other slot: the next upload would destroy it.
    </p>
  );
}
