// SPDX-License-Identifier: Apache-2.0
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { exitCodes } from "../output/exit.ts";
import { printable } from "../output/text.ts";
import type { ServeFlags } from "../serve/settings.ts";
import { gather } from "./arguments.ts";
import { example } from "./example.ts";

export function register(program: Command): void {
  example(
    program
      .command("serve")
      .description("run the orchestrator until SIGTERM or Ctrl-C; a restart goes on where it stopped")
      .option("--config <file>", "settings as YAML; flags and COALMINE_... variables go first")
      .option("--data <folder>", "where log and artifacts are kept (default: coalmine-data)")
      .option("--http <host:port>", "API and dashboard (default: 127.0.0.1:8080)")
      .option("--mqtt <host:port>", "embedded MQTT broker for devices (default: 127.0.0.1:1883)")
      .option("--coap <host:port>", "CoAP for devices (UDP); not served without this")
      .option("--ddi <host:port>", "hawkBit's DDI for stock SWUpdate, RAUC and Zephyr clients; not served without this")
      .option("--ddi-config <file>", "YAML: poll, tenant, url, gatewayTokens, and what devices by id do not say themselves")
      .option("--smp <file>", "YAML: boards to look after over SMP (mcumgr), each with id, smp, board, partitionMap, mode, slotSize")
      .option("--broker <url>", "use this MQTT broker instead of the embedded one: mqtt://user:secret@host:1883")
      .option("--store <url>", "another store than the data folder; not in this version")
      .option("--key <file>", "public key (PEM) whose signature releases must carry (repeatable)", gather)
      .option("--token <token>", "what API clients must send; needed on addresses other than loopback")
      .option("--device-secrets <file>", "what devices prove themselves with (coalmine secret create); needed on addresses other than loopback")
      .option("--seal-key <file>", "opens the CoAP keys in the file of device secrets (coalmine secret keygen)")
      .option("--webhook <url>", "tell this address when a rollout starts, is promoted, held, halted or complete (repeatable)", gather)
      .option("--webhook-secret <file>", "key of the signatures that webhooks carry")
      .option("--speed <n>", "run the clock this many times as fast, for trials", speed)
      .action(run),
    "coalmine serve --data ./data --key release.pub.pem",
    "coalmine serve --coap 0.0.0.0:5683 --device-secrets devices.secrets --seal-key seal.key --token \"$TOKEN\"",
    "coalmine serve --ddi 127.0.0.1:8081 --ddi-config ddi.yaml --smp boards.yaml",
    "coalmine serve --broker mqtt://127.0.0.1:1884 --http 127.0.0.1:0",
  );
}

function speed(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1_000_000)) {
    throw new InvalidArgumentError("Give a number above 0 and up to 1000000.");
  }
  return value;
}

async function run(flags: ServeFlags): Promise<void> {
  const { serveSettings } = await import("../serve/settings.ts");
  const { serve } = await import("../serve/serve.ts");
  const settings = serveSettings(flags, process.env);
  // The first line on stderr says that it is ready; what there is to say before waits for it.
  const held: string[] = [];
  let say = (line: string): void => {
    held.push(line);
  };
  const stopped = Promise.withResolvers<void>();
  const serving = await serve(settings, {
    note: (message) => say(message),
    warn: (message) => say(`warning: ${printable(message)}`),
    bug: (error) => {
      process.exitCode = exitCodes.bug;
      say(`${error.stack}\nThis is a bug of coalmine. It stops here rather than go on with a state it cannot trust; a restart reads the log again.`);
      stopped.resolve();
    },
  }).catch((error: unknown) => {
    for (const line of held) {
      process.stderr.write(`${line}\n`);
    }
    throw error;
  });
  say = (line) => void process.stderr.write(`${line}\n`);
  say(`ready http=${serving.http} mqtt=${serving.mqtt} coap=${serving.coap ?? "none"}${serving.ddi === undefined ? "" : ` ddi=${serving.ddi}`}`);
  held.forEach(say);
  say(`dashboard ${serving.http}/`);
  if (settings.speed !== 1) {
    say(`clock runs ${settings.speed} times as fast as the wall's`);
  }
  await untilSignal(stopped.promise, say);
  await serving.close();
}

/** Waits for SIGTERM or SIGINT. The second signal does not wait for anything: the log is durable as it is. */
async function untilSignal(stopped: Promise<void>, say: (line: string) => void): Promise<void> {
  const signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGHUP"];
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked) {
      process.exit(exitCodes.environment);
    }
    asked = true;
    say(`${signal}: stopping; once more to stop at once`);
    resolve();
  };
  for (const signal of signals) {
    process.on(signal, onSignal);
  }
  await Promise.race([promise, stopped]);
}
