// SPDX-License-Identifier: Apache-2.0
// Brings the devices back that a release has reached: first what would become of each, then by name and reason.
import type { RollbackPlanView, RolloutView } from "@coalmine/api";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { post, Problem } from "./api.ts";
import { AuthorityDialog } from "./authority-dialog.tsx";
import { Table, Trouble } from "./parts.tsx";
import { count, devices } from "./words.ts";

const classWords: Readonly<Record<string, string>> = {
  "swap-back": "go back by an order, without a download",
  download: "download it again",
  undecided: "are on trial: may yet go back by themselves, else they are brought back",
  unreachable: "are silent: go back when they are heard",
  refused: "are left out: their bootloader would refuse it and erase the slot",
  schema: "are left out: it cannot read the data they store",
  unfit: "are left out: no image or no room for them",
  elsewhere: "are left out: in another rollout",
  back: "are off the release already",
};

export function RollbackDialog({ rollout, etag, onDone }: { readonly rollout: RolloutView; readonly etag: string | null; readonly onDone: (id: string | undefined) => void }): JSX.Element {
  // What was on screen when the dialog opened, whatever has come in since.
  const seen = useRef(etag);
  const [plan, setPlan] = useState<RollbackPlanView>();
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    post<RollbackPlanView>("/rollbacks/plan", { rollout: rollout.id }).then(
      ({ data }) => setPlan(data),
      (error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, "page/bug", String(error))),
    );
  }, []);
  return (
    <AuthorityDialog
      title={`Roll back release ${rollout.release}`}
      does={plan === undefined ? "Counting who would go back, and how." : `${devices(plan.members)} go back to ${plan.to}, the worst hit first, in ${count(plan.stages.length)} stages with gates of their own. This rollout ends, and ${plan.from} is barred.`}
      button="Roll back"
      danger={false}
      ready={plan !== undefined}
      give={async (authority) => {
        const { data } = await post<{ readonly id: string }>("/rollbacks", { rollout: rollout.id, to: plan?.to, ...authority }, { ifMatch: seen.current });
        onDone(data.id);
      }}
      onLeave={() => onDone(undefined)}
      final={({ status }) => (status === 412 ? `Nothing was changed: the rollout is no longer as you saw it (it is ${rollout.status} now). Close this, look again, then decide.` : undefined)}
    >
      {problem === undefined ? null : <Trouble problem={problem} />}
      {plan === undefined ? null : (
        <Table
          label="What becomes of its devices"
          columns={[{ title: "devices", number: true }, { title: "what becomes of them" }]}
          rows={Object.entries(plan.counts).flatMap(([name, many]) => (many === 0 ? [] : [[count(many), classWords[name] ?? name]]))}
        />
      )}
      {plan === undefined || plan.mayBeRefused === 0 ? null : <p class="hint">{devices(plan.mayBeRefused)} {plan.mayBeRefused === 1 ? "has" : "have"} not said whether the bootloader refuses older images.</p>}
      {plan?.warnings.map((warning) => (
        <p key={warning} class="hint">
          {warning}
        </p>
      ))}
    </AuthorityDialog>
  );
}
