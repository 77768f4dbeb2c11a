// SPDX-License-Identifier: Apache-2.0
import type { JSX } from "preact";
import { post } from "./api.ts";
import { AuthorityDialog } from "./authority-dialog.tsx";
import type { Wanted } from "./pages/plan.tsx";

/** Starts a rollout by name and reason; gives its id, or nothing when it was left. */
export function StartDialog({ wanted, onDone }: { readonly wanted: Wanted; readonly onDone: (id: string | undefined) => void }): JSX.Element {
  return (
    <AuthorityDialog
      title={`Start release ${wanted.release}`}
      does="Its canaries get it at once; every further stage opens by itself when every gate passes. Who takes part is fixed now."
      button="Start"
      danger={false}
      give={async (authority) => {
        const { data } = await post<{ readonly id: string }>("/rollouts", { ...wanted, ...authority });
        onDone(data.id);
      }}
      onLeave={() => onDone(undefined)}
    />
  );
}
