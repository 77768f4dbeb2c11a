// SPDX-License-Identifier: Apache-2.0
// A laboratory on one machine: broker, orchestrator, emulated boards. Everything ends with it.
import { composeFlash, type Identity, QemuBoard, REGIONS } from "@coalmine/boards";
import { type DeviceId, parseVariant, type Variant } from "@coalmine/core";
import { blockRequestTopic, commandTopic, encodeCommand, type Command } from "@coalmine/protocol";
import { SMP_UDP_PORT } from "@coalmine/smp";
import { generate, parser } from "mqtt-packet";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Api } from "../chaos/api.ts";
import { findMosquitto, freePorts, Program, startMosquitto } from "../chaos/programs.ts";
import type { Images, NodeImage } from "./images.ts";

export const coalmine = fileURLToPath(new URL("../../../apps/cli/bin/coalmine.js", import.meta.url));

/** The parts of the API's answers that the runs look at. */
export interface DeviceView {
  readonly hardware: { readonly board: string; readonly revision: string; readonly partitionMap: string } | null;
  readonly running: { readonly imageHash: string; readonly version: string; readonly buildId: string; readonly confirmed: boolean } | null;
  readonly slot1: { readonly imageHash: string; readonly version: string } | null;
  readonly attempt: { readonly outcome: string; readonly ran: boolean; readonly resetCause: string } | null;
  readonly crashes: number;
}

export interface RolloutView {
  readonly outcome: string;
  readonly verdict: string;
  readonly states: Readonly<Record<string, number>>;
  readonly population: number;
  readonly offered: number;
  readonly exposed: number;
  readonly haltedBy: { readonly gate: string; readonly reason: string } | null;
  readonly missing: readonly string[];
}

/** Seconds that one step of a run may take on a busy machine. */
const PATIENCE_S = 300;

/** What `serve --smp` is told of a board: mcumgr says nothing of hardware. The images are for a laboratory (MCUboot's sample key). The fingerprint is that of firmware/qemu's partitions. */
const smpHardware = { board: "mps2_an385", revision: "smp", partitionMap: "e1f4b353", mode: "swap-move", slotSize: REGIONS.slot0.bytes, attributes: { site: "lab" } };

export class BoardLab {
  readonly folder: string;
  readonly images: Images;
  readonly boards = new Map<string, QemuBoard>();
  readonly note: (line: string) => void;
  api!: Api;
  mqtt = 0;
  coap = 0;
  #broker: Program | undefined;
  #serve: Program | undefined;
  readonly #programs: Program[] = [];
  /** UDP ports of the host by board. */
  readonly #smp = new Map<string, number>();
  #uploads: Promise<unknown> = Promise.resolve();

  private constructor(images: Images, note: (line: string) => void) {
    this.folder = mkdtempSync(join(tmpdir(), "coalmine-lab-"));
    this.images = images;
    this.note = note;
  }

  /**
   * Broker (mosquitto when it is installed, else the embedded one) and orchestrator, with the CoAP door open.
   *
   * @param keys further public keys to trust
   * @param smp boards that the orchestrator looks after by SMP
   */
  static async start(images: Images, note: (line: string) => void, { keys = [], smp = [] }: { readonly keys?: readonly string[]; readonly smp?: readonly string[] } = {}): Promise<BoardLab> {
    const lab = new BoardLab(images, note);
    process.once("SIGINT", lab.#interrupted).once("SIGTERM", lab.#interrupted);
    try {
      const [http, mqtt, coap, ...udp] = (await freePorts(3 + smp.length)) as [number, number, number, ...number[]];
      lab.mqtt = mqtt;
      lab.coap = coap;
      lab.api = new Api(http);
      const mosquitto = findMosquitto();
      const broker = mosquitto === undefined ? ["--mqtt", `127.0.0.1:${mqtt}`] : ["--broker", `mqtt://127.0.0.1:${mqtt}`];
      if (mosquitto !== undefined) {
        lab.#broker = await startMosquitto(mosquitto, join(lab.folder, "mosquitto"), mqtt);
      }
      const behindSmp = join(lab.folder, "smp.yaml");
      if (smp.length > 0) {
        smp.forEach((id, at) => lab.#smp.set(id, udp[at] as number));
        writeFileSync(behindSmp, JSON.stringify({ poll: "2s", boards: smp.map((id) => ({ id, smp: `udp://127.0.0.1:${lab.#smp.get(id)}`, ...smpHardware })) }));
      }
      const trusted = [...images.keys, ...keys].flatMap((key) => ["--key", key]);
      lab.#serve = new Program("serve", process.execPath, [coalmine, "serve", "--data", join(lab.folder, "data"), "--http", `127.0.0.1:${http}`, "--coap", `127.0.0.1:${coap}`, ...(smp.length > 0 ? ["--smp", behindSmp] : []), ...trusted, ...broker]);
      await lab.#serve.line(/^ready http=/);
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  get hasForeignBroker(): boolean {
    return this.#broker !== undefined;
  }

  /** A new board that runs an image and knows broker and server of this laboratory. Not on yet. */
  compose(id: string, image: NodeImage): string {
    const flash = join(this.folder, `${id}.flash`);
    composeFlash(flash, { bootloader: this.images.bootloader, image: image.bytes, identity: this.identityOf(id) });
    return flash;
  }

  /** Who a board of this laboratory is, and where broker and server are. */
  identityOf(device: string): Identity {
    return { device, brokerPort: this.mqtt, coapPort: this.coap, smpPort: 0 };
  }

  /** A new board, switched on. */
  async board(id: string, image: NodeImage): Promise<QemuBoard> {
    const smp = this.#smp.get(id);
    const board = await QemuBoard.start({ flash: this.compose(id, image), ...(smp === undefined ? {} : { forward: [{ host: smp, guest: SMP_UDP_PORT }] }) });
    this.boards.set(id, board);
    return board;
  }

  /** A program that ends with the laboratory. */
  program(name: string, args: readonly string[]): Program {
    const program = new Program(name, process.execPath, [coalmine, ...args]);
    this.#programs.push(program);
    return program;
  }

  /** What a command that asks this orchestrator prints. @throws Error with its words when it does not end with 0. */
  async ask(args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [coalmine, ...args, "--url", this.api.url]);
    return stdout;
  }

  device(id: string): Promise<DeviceView> {
    return this.api.get<DeviceView>(`/devices/${id}`);
  }

  /** The device as soon as it looks as wanted. */
  async deviceWhen(id: string, what: string, wanted: (device: DeviceView) => boolean, patience_s = PATIENCE_S): Promise<DeviceView> {
    return until(`${id}: ${what}`, patience_s, async () => {
      const device = await this.device(id).catch(() => undefined);
      return device !== undefined && wanted(device) ? device : undefined;
    });
  }

  async variantOf(id: string): Promise<Variant> {
    const { hardware } = await this.deviceWhen(id, "says what it is", (device) => device.hardware !== null);
    const variant = parseVariant(`${hardware?.board}/${hardware?.revision}/${hardware?.partitionMap}`);
    if (variant === undefined) {
      throw new Error(`${id} has no variant: ${JSON.stringify(hardware)}`);
    }
    return variant;
  }

  /** Registers a release. @param storage the schemas it reads and writes */
  release(id: string, artifacts: readonly { readonly variant: Variant; readonly bytes: Uint8Array }[], storage?: Readonly<Record<"minRead" | "maxRead" | "writes", number>>): Promise<void> {
    // One after another: the API takes two uploads at a time and asks the others to come again.
    const made = this.#uploads.then(() => this.#upload(id, artifacts, storage));
    this.#uploads = made.catch(() => undefined);
    return made;
  }

  async #upload(id: string, artifacts: readonly { readonly variant: Variant; readonly bytes: Uint8Array }[], storage?: Readonly<Record<string, number>>): Promise<void> {
    const stored = [];
    for (const { variant, bytes } of artifacts) {
      stored.push({ variant, digest: (await this.api.call<{ digest: string }>("PUT", "/artifacts", bytes)).digest });
    }
    await this.api.call("POST", "/releases", { id, artifacts: stored, ...(storage === undefined ? {} : { storage }), by: "boards", reason: "test" });
  }

  async startRollout(id: string, release: string, plan: Readonly<Record<string, unknown>>, devices?: readonly string[]): Promise<void> {
    await this.api.call("POST", "/rollouts", { id, release, plan, by: "boards", reason: "test", ...(devices === undefined ? {} : { selector: { ids: devices } }) });
  }

  async rolloutWhen(id: string, what: string, wanted: (rollout: RolloutView) => boolean, patience_s = PATIENCE_S): Promise<RolloutView> {
    let last: RolloutView | undefined;
    try {
      return await until(`${id}: ${what}`, patience_s, async () => {
        last = await this.api.get<RolloutView>(`/rollouts/${id}`);
        return wanted(last) ? last : undefined;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; it is ${JSON.stringify(last)}`, { cause: error });
    }
  }

  /** Sends a command to a device as the host would, kept by the broker. Needs a foreign broker: the embedded one lets only the host. */
  async command(device: string, command: Command): Promise<void> {
    const mqtt = await MqttClient.connect(this.mqtt);
    mqtt.publish(commandTopic(device as DeviceId), encodeCommand(command));
    await mqtt.close();
  }

  /** Counts the blocks that a device asks for. */
  async countBlocks(device: string): Promise<{ count: number; close(): Promise<void> }> {
    const mqtt = await MqttClient.connect(this.mqtt);
    const counter = { count: 0, close: () => mqtt.close() };
    await mqtt.subscribe(blockRequestTopic(device as DeviceId), () => {
      counter.count += 1;
    });
    return counter;
  }

  /** Nothing that runs for the laboratory outlives it. */
  readonly #interrupted = (signal: NodeJS.Signals): void => {
    void this.close().finally(() => process.exit(128 + constants.signals[signal]));
  };

  async close(): Promise<void> {
    process.off("SIGINT", this.#interrupted).off("SIGTERM", this.#interrupted);
    await Promise.all([...this.boards.values()].map((board) => board.close()));
    for (const program of [...this.#programs, this.#serve, this.#broker]) {
      await program?.end("SIGTERM");
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Looks every tenth of a second until there is something. */
export async function until<T>(what: string, patience_s: number, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + patience_s * 1_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) {
      return found;
    }
    if (performance.now() > deadline) {
      throw new Error(`gave up after ${patience_s} s waiting for ${what}`);
    }
    await sleep(100);
  }
}

class MqttClient {
  readonly #socket: Socket;
  readonly #packets = parser({ protocolVersion: 4 });
  #onPublish: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#packets.parse(bytes as Buffer));
    this.#packets.on("packet", (packet) => {
      if (packet.cmd === "publish") {
        this.#onPublish?.();
      }
      this.#socket.emit(packet.cmd);
    });
  }

  static async connect(port: number): Promise<MqttClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const client = new MqttClient(socket);
    await once(socket, "connect");
    const accepted = once(socket, "connack");
    client.#write({ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, clientId: `boards-${port}-${clients++}`, keepalive: 0 });
    await accepted;
    return client;
  }

  publish(topic: string, payload: Uint8Array): void {
    this.#write({ cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, messageId: 1, retain: true, dup: false });
  }

  async subscribe(topic: string, onPublish: () => void): Promise<void> {
    this.#onPublish = onPublish;
    const granted = once(this.#socket, "suback");
    this.#write({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 0 }] });
    await granted;
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, "close");
    this.#socket.end();
    this.#socket.resume();
    await closed;
  }

  #write(packet: Parameters<typeof generate>[0]): void {
    this.#socket.write(generate(packet, { protocolVersion: 4 }));
  }
}

let clients = 0;
