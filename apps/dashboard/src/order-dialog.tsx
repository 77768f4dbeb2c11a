// SPDX-License-Identifier: Apache-2.0
// An order on a rollout: what it does, who gives it and why. It names the revision that was on screen when the dialog
// was opened, so that a view that is out of date changes nothing.
import type { RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { post, Problem } from "./api.ts";
import { Icon } from "./parts.tsx";
import { count } from "./words.ts";

export type Order = "halt" | "hold" | "promote" | "resume" | "abort";

interface OrderWords {
  readonly title: string;
  readonly button: string;
  readonly does: string;
  readonly tone: "bad" | "plain";
}

const nameKey = "coalmine-by";

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

/** An order waits for a person; null when none does. */
export function OrderDialog({ order, rollout, etag, onDone }: { readonly order: Order; readonly rollout: RolloutView; readonly etag: string | null; readonly onDone: (outcome: "given" | "left" | "outdated") => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  // What was on screen when the dialog opened, whatever has come in since.
  const seen = useRef({ etag, revision: rollout.revision, words: orderWords(order, rollout) });
  const [by, setBy] = useState(() => localStorage.getItem(nameKey) ?? "");
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const { words } = seen.current;
  const outdated = problem?.status === 412;

  useEffect(() => {
    dialog.current?.showModal();
  }, []);

  const give = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (by.trim() === "" || reason.trim() === "") {
      setProblem(new Problem(400, "page/reason", "an order needs your name and a reason: both go into the audit log"));
      return;
    }
    setBusy(true);
    setProblem(undefined);
    localStorage.setItem(nameKey, by.trim());
    try {
      // A halt must never wait for a fresh look.
      await post(`/rollouts/${encodeURIComponent(rollout.id)}/${order}`, { by: by.trim(), reason: reason.trim() }, { ifMatch: order === "halt" ? null : seen.current.etag });
      onDone("given");
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, "page/bug", String(error)));
      setBusy(false);
    }
  };

  return (
    <dialog ref={dialog} class="order" aria-labelledby="order-title" onClose={() => onDone("left")}>
      <form onSubmit={(event) => void give(event)} noValidate>
        <h2 id="order-title">{words.title}</h2>
        <p>{words.does}</p>
        <label>
          Your name
          <input type="text" name="by" autocomplete="name" maxLength={64} required value={by} onInput={(event) => setBy(event.currentTarget.value)} />
        </label>
        <label>
          Reason
          <textarea name="reason" rows={3} maxLength={500} required autofocus value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        <p class="hint">Both go into the audit log.</p>
        {problem === undefined ? null : (
          <p class="problem" role="alert">
            <Icon name="warn" />
            {outdated ? `Nothing was changed: the rollout is no longer as you saw it (it is ${rollout.status} now). Close this, look again, then decide.` : problem.message}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={() => onDone(outdated ? "outdated" : "left")}>
            {outdated ? "Close and look again" : "Cancel"}
          </button>
          {outdated ? null : (
            <button type="submit" class={words.tone === "bad" ? "danger" : "primary"} disabled={busy}>
              {busy ? "Sending …" : words.button}
            </button>
          )}
        </div>
      </form>
    </dialog>
  );
}
