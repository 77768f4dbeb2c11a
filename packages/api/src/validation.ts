// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { FastifySchemaCompiler } from "fastify";
import type { z } from "zod";

const issuesMax = 10;
const names: Readonly<Record<string, string>> = { body: "body", querystring: "query", params: "path", headers: "header" };

/** Checks a part of a request against its zod schema. The message names every field that is wrong. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> =
  ({ schema, httpPart }) =>
  (data: unknown) => {
    const result = schema.safeParse(data);
    if (result.success) {
      return { value: result.data };
    }
    const part = names[httpPart ?? ""] ?? "request";
    const lines = result.error.issues.slice(0, issuesMax).map((issue) => `${[part, ...issue.path.map(String)].join(".")}: ${issue.message}`);
    return { error: new CoalmineError(`api/bad-${part}`, lines.join("; ")) };
  };
