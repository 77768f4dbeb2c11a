// SPDX-License-Identifier: Apache-2.0
import { answers, type ZodApp } from "../context.ts";
import { session as sessionShape } from "../schemas.ts";
import { sessionCookie, type Sessions } from "../sessions.ts";

/** Sessions for the dashboard. The token itself comes as `Authorization: Bearer`, like everywhere; the guard has checked it. */
export function sessionRoutes(app: ZodApp, options: { readonly sessions: Sessions; readonly token: string | undefined }): void {
  const { sessions, token } = options;

  app.get("/session", { schema: { tags: ["system"], summary: "Whether a token is needed, and whether this browser has a session. Needs no token", ...answers(sessionShape) } }, async ({ headers }) => {
    const known = sessions.find(headers.cookie);
    return { tokenNeeded: token !== undefined, open: token === undefined || known !== undefined, csrf: known?.csrf ?? null };
  });

  app.post(
    "/session",
    { schema: { tags: ["system"], summary: "Open a session: a cookie that scripts cannot read, and the x-csrf-token that its orders must carry", ...answers(sessionShape) } },
    async (_request, reply) => {
      if (token === undefined) {
        return { tokenNeeded: false, open: true, csrf: null };
      }
      const { id, session } = sessions.open();
      reply.header("set-cookie", sessionCookie(id));
      return { tokenNeeded: true, open: true, csrf: session.csrf };
    },
  );

  app.delete("/session", { schema: { tags: ["system"], summary: "End this browser's session", ...answers(sessionShape) } }, async ({ headers }, reply) => {
    sessions.close(headers.cookie);
    reply.header("set-cookie", sessionCookie(""));
    return { tokenNeeded: token !== undefined, open: token === undefined, csrf: null };
  });
}
