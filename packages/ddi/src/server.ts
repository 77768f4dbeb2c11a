// SPDX-License-Identifier: Apache-2.0
// The HTTP side: paths, tokens, limits, answers. What a request means is decided in device.ts.
//
// S1. A request is answered 200 only after what it said is durable (I1); 503 when it could not be made so.
// S2. A device reaches its own resources only: 401 without its token, 404 for actions and files of another.
// S3. 410 for an action of its own that is over.
import { type DeviceId, isDeviceId } from "@coalmine/core";
import type { ProxyHost } from "@coalmine/orchestrator";
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { PassThrough } from "node:stream";
import type { z } from "zod";
import { Artifacts, stream } from "./artifact.ts";
import { type Action, shownAction } from "./device.ts";
import { type DdiLimits, defaultLimits } from "./limits.ts";
import type { DdiDevices, DdiLinkOptions } from "./link.ts";
import { Buckets } from "./rate.ts";
import { rangeOf } from "./range.ts";
import { proves } from "./tokens.ts";
import { cancelJson, configShape, deploymentJson, feedbackShape, rootJson } from "./wire.ts";

/** An answer that is no 200, in the shape of hawkBit's errors. */
class Refused extends Error {
  readonly statusCode: number;
  readonly errorCode: string;
  readonly wait_s: number | undefined;

  constructor(statusCode: number, errorCode: string, message: string, wait_s?: number) {
    super(message);
    this.statusCode = statusCode;
    this.errorCode = errorCode;
    this.wait_s = wait_s;
  }
}

interface Asked {
  readonly id: DeviceId;
  /** URL of the device's root resource. */
  readonly base: string;
}

const namesMax = 10_000;

export function ddiServer(devices: DdiDevices, options: DdiLinkOptions, host: ProxyHost): FastifyInstance {
  const limits: DdiLimits = { ...defaultLimits, ...options.limits };
  const tenant = options.tenant ?? "DEFAULT";
  const artifacts = new Artifacts(host);
  const byDevice = new Buckets(limits.device, namesMax);
  const byAddress = new Buckets(limits.address, namesMax);
  const downloads = new Map<DeviceId, number>();
  const warn = options.warn ?? (() => undefined);
  const app = fastify({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    http: { headersTimeout: limits.headerMs, connectionsCheckingInterval: Math.min(1_000, limits.headerMs) },
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 128, ignoreTrailingSlash: true },
    frameworkErrors: (error, _request, reply) => void (reply as FastifyReply).code(error.statusCode ?? 400).send(errorJson("request", "the URL cannot be read")),
  });
  app.server.maxConnections = limits.connections;

  // Clients name their JSON in different ways, and some not at all.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body as string) as unknown);
    } catch {
      done(new Refused(400, "body", "the body is no JSON"));
    }
  });

  app.setErrorHandler((error: Error & { statusCode?: number; code?: string; wait_s?: number; errorCode?: string }, request, reply) => {
    const status = error.statusCode ?? (isTrouble(error) ? 503 : 500);
    if (status >= 500) {
      warn(`DDI ${request.method} ${request.url.slice(0, 200)}: ${error.message}`);
    }
    if (status === 429 || status === 503) {
      reply.header("retry-after", String(Math.ceil(error.wait_s ?? 5)));
    }
    reply.code(status).send(errorJson(error.errorCode ?? error.code ?? "internal", status >= 500 ? "not now" : error.message));
  });
  app.setNotFoundHandler((_request, reply) => void reply.code(404).send(errorJson("path", "there is no such resource")));

  app.addHook("onRequest", async (request: FastifyRequest) => {
    const wait_s = byAddress.take(request.ip, performance.now() / 1_000);
    if (wait_s > 0) {
      throw new Refused(429, "rate", "too many requests from this address", wait_s);
    }
  });

  /** Who asks, proven. Before anything of the request is looked at. */
  function asked(request: FastifyRequest): Asked {
    const { tenant: named, id } = request.params as { tenant: string; id: string };
    if (named !== tenant || !isDeviceId(id)) {
      throw new Refused(404, "controller", named === tenant ? "a controller id is 1 to 64 of A-Z a-z 0-9 _ -" : `there is no tenant ${JSON.stringify(named.slice(0, 64))}`);
    }
    if (options.tokens !== undefined && !proves(options.tokens, id, request.headers.authorization)) {
      throw new Refused(401, "token", "send Authorization: TargetToken or GatewayToken with a token of this controller");
    }
    const wait_s = byDevice.take(id, performance.now() / 1_000);
    if (wait_s > 0) {
      throw new Refused(429, "rate", "too many requests of this controller", wait_s);
    }
    const called = /^[A-Za-z0-9.:[\]-]{1,255}$/.test(request.headers.host ?? "") ? `http://${request.headers.host}` : "";
    return { id, base: `${options.publicUrl ?? called}/${tenant}/controller/v1/${id}` };
  }

  /** The action of a path, which must be this device's and not over. */
  function actionOf(id: DeviceId, text: string): Action {
    const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    const { action } = devices.get(id);
    if (action !== null && action.offer.offer === number && !action.closed && action.phase !== "ended") {
      return action;
    }
    throw action?.offer.offer === number || host.wasOffered(id, number) ? new Refused(410, "action", `action ${number} is over`) : new Refused(404, "action", "there is no such action of this controller");
  }

  const root = "/:tenant/controller/v1/:id";

  app.get(root, async (request) => {
    const { id, base } = asked(request);
    await devices.take(id, { kind: "poll" });
    const device = devices.get(id);
    const action = shownAction(device, devices.now);
    return rootJson({
      sleep_s: devices.sleepOf(id),
      base,
      deployment: action === null ? null : { id: action.offer.offer, tag: action.offer.digest.toHex().slice(0, 8) },
      cancelling: device.cancelling,
      wantsConfig: device.wantsConfig,
    });
  });

  app.put(`${root}/configData`, async (request, reply) => {
    const { id } = asked(request);
    const { mode, data } = read(configShape, request.body);
    await devices.take(id, { kind: "config", mode, data });
    return done(reply);
  });

  app.get(`${root}/deploymentBase/:action`, async (request) => {
    const { id, base } = asked(request);
    const { offer } = actionOf(id, (request.params as { action: string }).action);
    const file = artifacts.names(id, offer);
    if (file === undefined) {
      throw new Refused(410, "action", `action ${offer.offer} was taken back`);
    }
    await devices.take(id, { kind: "looked" });
    return deploymentJson(offer, file, base);
  });

  app.post(`${root}/deploymentBase/:action/feedback`, async (request, reply) => {
    const { id } = asked(request);
    actionOf(id, (request.params as { action: string }).action);
    const { execution, result, details } = read(feedbackShape, request.body).status;
    await devices.take(id, { kind: "feedback", execution, finished: result.finished, details });
    return done(reply);
  });

  app.get(`${root}/cancelAction/:action`, async (request) => {
    const { id } = asked(request);
    return cancelJson(cancelling(id, request));
  });

  app.post(`${root}/cancelAction/:action/feedback`, async (request, reply) => {
    const { id } = asked(request);
    cancelling(id, request);
    const { execution, result } = read(feedbackShape, request.body).status;
    if (execution !== "proceeding" && execution !== "scheduled") {
      await devices.take(id, { kind: "cancel-feedback", execution, finished: result.finished });
    }
    return done(reply);
  });

  // Nobody has to agree to an update here: the plan decides. Clients that ask are told so.
  app.get(`${root}/confirmationBase`, async (request) => {
    asked(request);
    return { autoConfirm: { active: true } };
  });

  app.route({
    method: ["GET", "HEAD"],
    url: `${root}/softwaremodules/:action/artifacts/:file`,
    handler: async (request, reply) => {
      const { id } = asked(request);
      const { action, file } = request.params as { action: string; file: string };
      const { offer } = actionOf(id, action);
      const names = artifacts.names(id, offer);
      if (names === undefined) {
        throw new Refused(410, "action", `action ${offer.offer} was taken back`);
      }
      if (file === `${names.name}.MD5SUM`) {
        return reply.type("text/plain").send(`${names.md5}  ${names.name}\n`);
      }
      if (file !== names.name) {
        throw new Refused(404, "file", "there is no such file of this action");
      }
      return download(id, action, request, reply);
    },
  });

  async function download(id: DeviceId, action: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { offer } = actionOf(id, action);
    const etag = `"${offer.digest.toHex()}"`;
    const ifRange = request.headers["if-range"];
    const range = rangeOf(ifRange === undefined || ifRange === etag ? request.headers.range : undefined, offer.size);
    reply.headers({ etag, "accept-ranges": "bytes", "content-type": "application/octet-stream", "cache-control": "no-transform" });
    if (request.headers["if-none-match"]?.split(/\s*,\s*/).includes(etag) === true) {
      return reply.code(304).send();
    }
    if (range.kind === "unsatisfiable") {
      return reply.code(416).header("content-range", `bytes */${offer.size}`).send();
    }
    const [from, end] = range.kind === "part" ? [range.from, range.end] : [0, offer.size];
    reply.code(range.kind === "part" ? 206 : 200).header("content-length", String(end - from));
    if (range.kind === "part") {
      reply.header("content-range", `bytes ${from}-${end - 1}/${offer.size}`);
    }
    if (request.method === "HEAD") {
      return reply.send();
    }
    const running = downloads.get(id) ?? 0;
    if (running >= limits.downloads) {
      throw new Refused(429, "downloads", `this controller has ${running} downloads under way`, 10);
    }
    downloads.set(id, running + 1);
    const out = new PassThrough({ highWaterMark: 16_384 });
    void stream(out, {
      from,
      end,
      piece: (at, length) => artifacts.piece(id, offer, at, length),
      progress: (offset) => devices.take(id, { kind: "sent", offset }),
      limits,
    })
      .then((how) => {
        if (how === "slow") {
          warn(`DDI download of ${id} was cut off: it took less than ${limits.slowBytesPerSecond} bytes a second; the client can go on with a Range`);
        }
      })
      .catch((error: unknown) => {
        warn(`DDI download of ${id}: ${(error as Error).message}`);
        out.destroy();
      })
      .finally(() => {
        const left = (downloads.get(id) ?? 1) - 1;
        if (left === 0) {
          downloads.delete(id);
        } else {
          downloads.set(id, left);
        }
      });
    return reply.send(out);
  }

  function cancelling(id: DeviceId, request: FastifyRequest): number {
    const text = (request.params as { action: string }).action;
    const offer = devices.get(id).cancelling;
    if (offer === null || String(offer) !== text) {
      throw host.wasOffered(id, Number(text)) ? new Refused(410, "action", "this action is over") : new Refused(404, "action", "there is no such action of this controller");
    }
    return offer;
  }

  return app;
}

/** 200, as Zephyr's client wants it. */
function done(reply: FastifyReply): object {
  reply.code(200);
  return {};
}

function read<T>(shape: z.ZodType<T>, body: unknown): T {
  const result = shape.safeParse(body);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new Refused(400, "body", `${issue?.path.join(".") || "body"}: ${issue?.message ?? "is not as it should be"}`);
  }
  return result.data;
}

function errorJson(errorCode: string, message: string): object {
  return { exceptionClass: "coalmine", errorCode: `ddi.${errorCode}`, message };
}

function isTrouble(error: Error): boolean {
  return error.name === "CoalmineError";
}
