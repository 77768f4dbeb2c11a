// SPDX-License-Identifier: Apache-2.0
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Problem, signIn } from "./api.ts";
import { Icon } from "./parts.tsx";

/** Asks for the token once; a cookie that no script can read stands for it afterwards. */
export function SignIn({ onOpen }: { readonly onOpen: () => void }): JSX.Element {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<string>();
  const give = (event: Event): void => {
    event.preventDefault();
    if (!/^[!-~]+$/.test(token.trim())) {
      setProblem("Paste the token that the orchestrator was started with (--token or COALMINE_TOKEN).");
      return;
    }
    signIn(token.trim()).then(onOpen, (error: unknown) => setProblem(error instanceof Problem ? `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.` : String(error)));
  };
  return (
    <main class="alone">
      <form class="card sign-in" onSubmit={give}>
        <h1>
          <img src="/favicon.svg" alt="" width="28" height="28" /> coalmine
        </h1>
        <label>
          Token
          <input type="password" name="token" autocomplete="current-password" autofocus value={token} onInput={(event) => setToken(event.currentTarget.value)} />
        </label>
        {problem === undefined ? <p class="hint">The one that serve was started with.</p> : (
          <p class="problem" role="alert">
            <Icon name="warn" />
            {problem}
          </p>
        )}
        <button type="submit" class="primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
