// SPDX-License-Identifier: Apache-2.0
// A Linux device as far as an update server sees one: the real swupdate program in a folder, and somebody who "reboots" it.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** Why no swupdate runs here; undefined when one does. */
export function swupdateMissing(): string | undefined {
  if (spawnSync("swupdate", ["--version"], { stdio: "ignore" }).error !== undefined) {
    return "swupdate is not installed";
  }
  return spawnSync("openssl", ["version"], { stdio: "ignore" }).error === undefined ? undefined : "openssl is not installed";
}

export interface GatewayOptions {
  readonly id: string;
  /** Made when it is missing. */
  readonly folder: string;
  /** URL of the DDI server. */
  readonly url: string;
  /** Certificate that archives are signed with. */
  readonly certificate: string;
  readonly tenant?: string;
  readonly targetToken?: string;
  /** What it says in configData besides its version. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Says which version it runs, as an image with a version in it can; by default true. */
  readonly saysVersion?: boolean;
  /** After its first reboot into an update it runs what it ran before, and is as sure of its success. */
  readonly fallsBack?: boolean;
}

/** The user `nobody`: nothing here needs more. */
const nobody = 65_534;

/**
 * Runs swupdate against a server. The file `installed` in its folder is its image: the first line is the version. When
 * swupdate has installed an archive, it is ended and started again as after a reboot, told to confirm the update.
 */
export class SwupdateGateway {
  readonly options: GatewayOptions;
  reboots = 0;
  #child: ChildProcess | undefined;
  #running = "1.0.0";
  #again: NodeJS.Timeout | undefined;
  #closed = false;
  #log = "";
  readonly #watcher: { close(): void };
  #rebooting: Promise<void> = Promise.resolve();

  constructor(options: GatewayOptions) {
    this.options = options;
    mkdirSync(options.folder, { recursive: true });
    copyFileSync(options.certificate, this.#file("cert.pem"));
    if (process.getuid?.() === 0) {
      chownSync(options.folder, nobody, nobody);
    }
    this.#watcher = watch(options.folder, (_event, name) => {
      if (name === "reboot" && existsSync(this.#file("reboot"))) {
        this.#rebooting = this.#rebooting.then(async () => this.#reboot());
      }
    });
    this.#start([]);
  }

  /** The version that its image says. */
  get running(): string {
    return this.#running;
  }

  get log(): string {
    return this.#log;
  }

  /** Ends swupdate and its children. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher.close();
    await this.#rebooting;
    await this.#stop();
  }

  #file(name: string): string {
    return join(this.options.folder, name);
  }

  async #reboot(): Promise<void> {
    if (this.#closed || !existsSync(this.#file("reboot"))) {
      return;
    }
    await this.#stop();
    rmSync(this.#file("reboot"));
    this.reboots += 1;
    if (this.options.fallsBack !== true) {
      this.#running = readFileSync(this.#file("installed"), "utf8").split("\n", 1)[0] as string;
    }
    this.#start(["-c", "2"]);
  }

  #start(confirm: readonly string[]): void {
    const { id, folder, url, attributes = {}, saysVersion = true, targetToken, tenant = "DEFAULT" } = this.options;
    const said = { ...attributes, ...(saysVersion ? { version: this.#running } : {}) };
    const identify = Object.entries(said).map(([name, value]) => `{ name = "${name}"; value = "${value}"; }`);
    writeFileSync(this.#file("swupdate.cfg"), `globals : { };\nidentify : ( ${identify.join(", ")} );\n`);
    const suricatta = ["-t", tenant, "-u", url, "-i", id, "-p", "1", "-w", "1", "-m", "1", ...confirm, ...(targetToken === undefined ? [] : ["-k", targetToken])];
    const args = ["-v", "-f", this.#file("swupdate.cfg"), "-k", this.#file("cert.pem"), "-H", "board:1.0", "-p", `touch ${this.#file("reboot")}`, "-u", suricatta.join(" ")];
    const child = spawn("swupdate", args, {
      cwd: folder,
      // Its sockets; several may run side by side.
      env: { PATH: process.env["PATH"], TMPDIR: folder, RUNTIME_DIRECTORY: folder },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      ...(process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}),
    });
    const keep = (text: string): void => {
      this.#log = (this.#log + text).slice(-200_000);
    };
    child.stdout?.setEncoding("utf8").on("data", keep);
    child.stderr?.setEncoding("utf8").on("data", keep);
    this.#child = child;
    // It gives up when its server is away as it starts; its service starts it again.
    child.once("exit", () => {
      if (this.#child === child && !this.#closed) {
        this.#again = setTimeout(() => this.#start(confirm), 500);
      }
    });
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#again);
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      return;
    }
    const ended = once(child, "exit");
    // Its own process group: the program forks.
    process.kill(-child.pid, "SIGKILL");
    await ended;
  }
}
