// SPDX-License-Identifier: Apache-2.0
// A dialog for whatever needs a person's name and reason.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./api.ts";
import { Icon } from "./parts.tsx";

export interface Authority {
  readonly by: string;
  readonly reason: string;
}

export interface AuthorityDialogProps {
  readonly title: string;
  readonly does: string;
  /** What it would do, in more than a sentence. */
  readonly children?: ComponentChildren;
  /** It can be given; true when left out. */
  readonly ready?: boolean;
  readonly button: string;
  readonly danger: boolean;
  /** Carries it out; what it throws is shown. */
  readonly give: (authority: Authority) => Promise<void>;
  readonly onLeave: () => void;
  /** What to say instead of the problem's own words, and that trying again is of no use. */
  readonly final?: (problem: Problem) => string | undefined;
}

const nameKey = "coalmine-by";

export function AuthorityDialog({ title, does, children, ready = true, button, danger, give, onLeave, final }: AuthorityDialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [by, setBy] = useState(() => localStorage.getItem(nameKey) ?? "");
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const ending = problem === undefined ? undefined : final?.(problem);

  useEffect(() => {
    dialog.current?.showModal();
  }, []);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const authority = { by: by.trim(), reason: reason.trim() };
    if (authority.by === "" || authority.reason === "") {
      setProblem(new Problem(400, "page/reason", "an order needs your name and a reason: both go into the audit log"));
      return;
    }
    setBusy(true);
    setProblem(undefined);
    localStorage.setItem(nameKey, authority.by);
    try {
      await give(authority);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, "page/bug", String(error)));
      setBusy(false);
    }
  };

  return (
    <dialog ref={dialog} class="order" aria-labelledby="order-title" onClose={onLeave}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <h2 id="order-title">{title}</h2>
        <p>{does}</p>
        {children}
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
            {ending ?? problem.message}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={onLeave}>
            {ending === undefined ? "Cancel" : "Close and look again"}
          </button>
          {ending !== undefined ? null : (
            <button type="submit" class={danger ? "danger" : "primary"} disabled={busy || !ready}>
              {busy ? "Sending …" : button}
            </button>
          )}
        </div>
      </form>
    </dialog>
  );
}
