// SPDX-License-Identifier: Apache-2.0
// An order on a rollout: what it does, who gives it and why. It names the revision that was on screen when the dialog
// was opened, so that a view that is out of date changes nothing.
import type { RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { post } from "./api.ts";
import { AuthorityDialog } from "./authority-dialog.tsx";
import { count } from "./words.ts";

export type Order = "halt" | "hold" | "promote" | "resume" | "abort";

interface OrderWords {
  readonly title: string;
  readonly button: string;
  readonly does: string;
  readonly tone: "bad" | "plain";
}

function orderWords(order: Order, rollout: Pick<RolloutView, "id" | "release" | "stages" | "status" | "haltedBy">): OrderWords {
  const next = rollout.stages.find((stage) => stage.openedAt === null);
  switch (order) {
    case "halt":
      return { title: `Halt release ${rollout.release}`, button: "Halt now", tone: "bad", does: "All offers stop at once. Devices that have not rebooted are told to stop; those past the reboot confirm or go back by themselves. It can be resumed later." };
    case "hold":
      return { title: `Hold release ${rollout.release}`, button: "Hold", tone: "plain", does: "No further stage opens until it is resumed. Devices of open stages go on." };
    case "promote":
      return {
        title: `Promote release ${rollout.release}`,
        button: "Promote",
        tone: "bad",
        does: next === undefined ? "The last stage counts as passed without the evidence for it." : `Stage "${next.name}" opens without a pass of the gates: ${count(next.size)} more devices get the release.`,
      };
    case "resume":
      return rollout.status === "halted"
        ? { title: `Resume release ${rollout.release}`, button: "Resume", tone: "bad", does: `Offers go out again although ${rollout.haltedBy === null ? "it was halted" : `gate ${rollout.haltedBy.gate} halted it`}. That gate is shown from then on, but no longer enforced.` }
        : { title: `Resume release ${rollout.release}`, button: "Resume", tone: "plain", does: "It goes on by its plan." };
    case "abort":
      return { title: `End release ${rollout.release} for good`, button: "End for good", tone: "bad", does: "Open offers are taken back and nothing more goes out, ever. Devices keep what they run. It frees them for the next rollout." };
  }
}

export function OrderDialog({ order, rollout, etag, onDone }: { readonly order: Order; readonly rollout: RolloutView; readonly etag: string | null; readonly onDone: (given: boolean) => void }): JSX.Element {
  // What was on screen when the dialog opened, whatever has come in since.
  const seen = useRef({ etag, words: orderWords(order, rollout) });
  const { words } = seen.current;
  return (
    <AuthorityDialog
      title={words.title}
      does={words.does}
      button={words.button}
      danger={words.tone === "bad"}
      give={async (authority) => {
        // A halt must never wait for a fresh look.
        await post(`/rollouts/${encodeURIComponent(rollout.id)}/${order}`, authority, { ifMatch: order === "halt" ? null : seen.current.etag });
        onDone(true);
      }}
      onLeave={() => onDone(false)}
      final={({ status }) => (status === 412 ? `Nothing was changed: the rollout is no longer as you saw it (it is ${rollout.status} now). Close this, look again, then decide.` : undefined)}
    />
  );
}
