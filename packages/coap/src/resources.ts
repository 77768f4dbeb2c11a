// SPDX-License-Identifier: Apache-2.0
// What devices find on the server, behind the four Golioth-style paths (R53) and one for commands.
import type { LinkHost } from "@coalmine/orchestrator";
import { accepts, type Asked, content, defaultSzx, formatOption, refusal, text } from "./answers.ts";
import { artifactBlock } from "./artifact.ts";
import type { Authentication } from "./authentication.ts";
import { Commands } from "./commands.ts";
import type { Answer, Application, Endpoint, Request } from "./endpoint.ts";
import type { CoapLimits } from "./limits.ts";
import { Code } from "./message.ts";
import { ContentFormat, OptionNumber, optionOf, readBlock } from "./option.ts";
import type { Peer } from "./peer.ts";
import { Reports } from "./reports.ts";

const linkFormat = formatOption(ContentFormat.linkFormat);

export class Resources implements Application {
  readonly commands: Commands;
  readonly reports: Reports;
  readonly #host: LinkHost;
  readonly #authentication: Authentication;
  readonly #component: string;
  #endpoint: Endpoint | undefined;

  constructor(options: {
    readonly host: LinkHost;
    readonly limits: CoapLimits;
    readonly authentication: Authentication;
    readonly component: string;
    readonly now_s: () => number;
    readonly failed: (error: unknown) => void;
  }) {
    const { host, limits, now_s, failed } = options;
    this.#host = host;
    this.#authentication = options.authentication;
    this.#component = options.component;
    this.commands = new Commands({ limits, endpoint: () => this.#endpoint as Endpoint });
    this.reports = new Reports({ host, limits, commands: this.commands, now_s, failed });
  }

  /** The message layer below; it is made with these resources, so it comes afterwards. */
  attach(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
  }

  evicted(peer: Peer): void {
    this.commands.evicted(peer);
  }

  handle(request: Request): Answer | Promise<Answer> {
    const { options, code: method } = request.message;
    const path: string[] = [];
    for (const option of options) {
      if (option.number === OptionNumber.uriPath) {
        path.push(Buffer.from(option.value.buffer, option.value.byteOffset, option.value.length).toString());
      }
    }
    if (path.length === 2 && path[0] === ".well-known" && path[1] === "core") {
      return discovery(request, this.#component);
    }
    const identity = this.#authentication.identify(request, this.#endpoint as Endpoint);
    if (identity.kind === "refused") {
      return identity.answer;
    }
    const { device, reply } = identity;
    const block1Option = optionOf(options, OptionNumber.block1);
    const block2Option = optionOf(options, OptionNumber.block2);
    const block1 = block1Option === undefined ? undefined : readBlock(block1Option);
    const block2 = block2Option === undefined ? undefined : readBlock(block2Option);
    if ((block1Option !== undefined && block1 === undefined) || (block2Option !== undefined && block2 === undefined)) {
      return refusal(Code.badRequest, reply, "block size exponent 7 is reserved");
    }
    return this.#route({ request, device, reply, method, path, block1, block2 });
  }

  #route(asked: Asked): Answer | Promise<Answer> {
    const { path, reply } = asked;
    const [first, second, third] = path;
    if (first === ".r" && path.length === 1) {
      return this.reports.report(asked);
    }
    if (first === ".u" && path.length === 2) {
      if (second === "desired") {
        return this.commands.desired(asked);
      }
      if (second === "command") {
        return this.commands.command(asked);
      }
    }
    if (first === ".u" && second === "c" && path.length === 3 && third !== undefined) {
      const [component, version] = split(third);
      if (component === this.#component) {
        return version === undefined ? this.reports.state(asked) : artifactBlock(this.#host, asked, this.commands.kept(asked.device), version);
      }
    }
    return refusal(Code.notFound, reply);
  }
}

/** Answers what resources there are (RFC 6690). */
function discovery(request: Request, component: string): Answer {
  if (request.message.code !== Code.get) {
    return { code: Code.methodNotAllowed };
  }
  if (!accepts(request, ContentFormat.linkFormat)) {
    return { code: Code.notAcceptable };
  }
  const asked = optionOf(request.message.options, OptionNumber.block2);
  const block = asked === undefined ? undefined : readBlock(asked);
  if (asked !== undefined && block === undefined) {
    return { code: Code.badRequest };
  }
  const whole = text(
    `</.u/desired>;obs;ct=${ContentFormat.cbor},</.u/command>;obs;ct=${ContentFormat.cbor},` +
      `</.u/c/${component}>;ct=${ContentFormat.cbor},</.r>;ct="${ContentFormat.cbor} ${ContentFormat.cborSequence}"`,
  );
  return { ...content({ whole, format: linkFormat, asked: block, szx: defaultSzx, observe: undefined, reply: undefined }), repeatable: true };
}

/** `main@1.2.3` as component and version; the version is undefined without an `@`. */
function split(name: string): readonly [string, string | undefined] {
  const at = name.indexOf("@");
  return at < 0 ? [name, undefined] : [name.slice(0, at), name.slice(at + 1)];
}
