// SPDX-License-Identifier: Apache-2.0
import type { BootConfig, BootResult, Flash } from "@coalmine/mcuboot";
import { HEADER_BYTES, IMAGE_MAGIC, boot, compareVersion, decodeHeader } from "@coalmine/mcuboot";
import type { CborMap, CborRecord } from "../cbor.ts";
import { decodeBody, encodeBody } from "../cbor.ts";
import { Group, ImageCommand, Op, OsCommand, SettingsCommand, StatisticsCommand, decodeFrame, encodeFrame } from "../frame.ts";
import { ImageRc, Rc, SettingsRc, StatisticsRc } from "../refusal.ts";
import { Slots, isBootable, zephyrVersion } from "./slots.ts";

export interface SmpServerOptions {
  readonly config: BootConfig;
  readonly flash: Flash;
  /** Bytes of one of the board's buffers. */
  readonly bufferBytes?: number;
  /** Built with the check of the uploaded file (CONFIG_IMG_ENABLE_IMAGE_CHECK). */
  readonly imageCheck?: boolean;
  /** 1 for a board that finds version 2 too new. */
  readonly versionMax?: 1 | 2;
  /** Built with the parameters command. */
  readonly parameters?: boolean;
  readonly statistics?: Readonly<Record<string, Readonly<Record<string, number | bigint>>>>;
  readonly settings?: ReadonlyMap<string, Uint8Array>;
}

/** An answer's body, or a code: of the group, or common to all. */
type Answer = { readonly body: CborRecord } | { readonly group: number; readonly rc: number } | { readonly rc: number };

/** An upload in the board's RAM; a reboot forgets it. */
interface Upload {
  readonly size: number;
  readonly sha: Uint8Array;
  off: number;
}

const EMPTY = new Uint8Array(0);
const DONE: Answer = { body: {} };

/**
 * A board that answers SMP as Zephyr's mcumgr does, over a byte-exact flash and bootloader.
 *
 * A machine: packet in, packet out. Whoever carries the packets reboots it when `resetRequested` is set.
 */
export class SmpServer {
  readonly options: SmpServerOptions;
  readonly settings: Map<string, Uint8Array>;
  /** Requests handled, by `group/command`; repeated ones count. */
  readonly handled = new Map<string, number>();
  resetRequested = false;
  /** False after a boot that found nothing to run: the board is silent. */
  alive = true;
  reboots = 0;
  readonly #slots: Slots;
  #upload: Upload | undefined;

  constructor(options: SmpServerOptions) {
    this.options = options;
    this.settings = new Map(options.settings);
    this.#slots = new Slots(options.config, options.flash);
  }

  get bufferBytes(): number {
    return this.options.bufferBytes ?? 384;
  }

  /** One packet's answer; none for what no SMP server answers. */
  handle(packet: Uint8Array): Uint8Array | undefined {
    const frame = decodeFrame(packet);
    if (!this.alive || packet.length > this.bufferBytes || frame.kind === "malformed" || (frame.op !== Op.read && frame.op !== Op.write)) {
      return undefined;
    }
    const name = `${frame.group}/${frame.command}`;
    this.handled.set(name, (this.handled.get(name) ?? 0) + 1);
    const { versionMax = 2 } = this.options;
    const version = frame.version > versionMax ? versionMax : frame.version;
    let answer: Answer;
    const decoded = decodeBody(frame.body.length === 0 ? Uint8Array.of(0xa0) : frame.body);
    if (frame.version > versionMax) {
      answer = { rc: Rc.tooNew };
    } else if (decoded.kind === "malformed") {
      answer = { rc: Rc.invalid };
    } else {
      answer = this.#command(frame.group, frame.command, frame.op === Op.write, decoded.body);
    }
    const body = encodeBody(bodyOf(answer, version), { indefinite: true });
    return encodeFrame({ ...frame, version, op: frame.op === Op.read ? Op.readAnswer : Op.writeAnswer }, body);
  }

  /** Reboots: RAM is forgotten, the bootloader runs. */
  reboot(): BootResult {
    this.resetRequested = false;
    this.#upload = undefined;
    this.reboots++;
    const result = boot(this.options.config, this.options.flash);
    this.alive = result.outcome === "boot";
    return result;
  }

  #command(group: number, command: number, isWrite: boolean, body: CborMap): Answer {
    switch (`${group}/${command}/${isWrite ? "write" : "read"}`) {
      case `${Group.os}/${OsCommand.echo}/read`:
      case `${Group.os}/${OsCommand.echo}/write`: {
        const text = body.get("d");
        return typeof text === "string" ? { body: { r: text } } : { rc: Rc.invalid };
      }
      case `${Group.os}/${OsCommand.reset}/write`:
        this.resetRequested = true;
        return DONE;
      case `${Group.os}/${OsCommand.parameters}/read`:
        return this.options.parameters === false ? { rc: Rc.notSupported } : { body: { buf_size: this.bufferBytes, buf_count: 4 } };
      case `${Group.image}/${ImageCommand.state}/read`:
        return this.#state();
      case `${Group.image}/${ImageCommand.state}/write`:
        return this.#writeState(body);
      case `${Group.image}/${ImageCommand.upload}/write`:
        return this.#uploadPiece(body);
      case `${Group.image}/${ImageCommand.erase}/write`:
        return this.#erase(body);
      case `${Group.statistics}/${StatisticsCommand.list}/read`:
        return { body: { stat_list: Object.keys(this.options.statistics ?? {}) } };
      case `${Group.statistics}/${StatisticsCommand.read}/read`: {
        const name = body.get("name");
        const fields = typeof name === "string" ? this.options.statistics?.[name] : undefined;
        return fields === undefined || typeof name !== "string" ? { group: Group.statistics, rc: StatisticsRc.invalidGroup } : { body: { name, fields } };
      }
      case `${Group.settings}/${SettingsCommand.value}/read`:
      case `${Group.settings}/${SettingsCommand.value}/write`:
      case `${Group.settings}/${SettingsCommand.delete}/write`:
        return this.#setting(command, isWrite, body);
      case `${Group.settings}/${SettingsCommand.commit}/write`:
      case `${Group.settings}/${SettingsCommand.storage}/write`:
        return DONE;
      default:
        return { rc: Rc.notSupported };
    }
  }

  #state(): Answer {
    const images = this.#slots.list().map(({ slot, header, hash, pending, confirmed, active, permanent }) => ({
      slot,
      version: zephyrVersion(header.version),
      hash,
      bootable: isBootable(header),
      pending,
      confirmed,
      active,
      permanent,
    }));
    return { body: { images, splitStatus: 0 } };
  }

  #writeState(body: CborMap): Answer {
    const hash = body.get("hash") ?? EMPTY;
    const confirm = body.get("confirm") ?? false;
    if (!(hash instanceof Uint8Array) || typeof confirm !== "boolean") {
      return { rc: Rc.invalid };
    }
    let slot: 0 | 1 = 0;
    if (hash.length > 0 || !confirm) {
      if (hash.length !== 32) {
        return image(ImageRc.invalidHash);
      }
      // From slot 0 on, like the real one: equal images in both slots mean slot 0.
      const found = this.#slots.list().find((one) => equal(one.hash, hash));
      if (found === undefined) {
        return image(ImageRc.hashNotFound);
      }
      ({ slot } = found);
    }
    const rc = this.#slots.choose(slot, confirm);
    return rc === 0 ? this.#state() : image(rc);
  }

  #uploadPiece(body: CborMap): Answer {
    const off = body.get("off");
    const data = body.get("data") ?? EMPTY;
    const size = body.get("len");
    const sha = body.get("sha") ?? EMPTY;
    const number = body.get("image") ?? 0;
    if (!(data instanceof Uint8Array) || !(sha instanceof Uint8Array) || (size !== undefined && typeof size !== "number") || (off !== undefined && typeof off !== "number")) {
      return { rc: Rc.invalid };
    }
    if (off === undefined) {
      return image(ImageRc.invalidOffset);
    }
    if (off > 0) {
      if (this.#upload === undefined || off !== this.#upload.off) {
        return { body: { off: this.#upload?.off ?? 0 } };
      }
      return off + data.length > this.#upload.size ? image(ImageRc.imageDataOverrun) : this.#append(this.#upload, data);
    }
    if (data.length < HEADER_BYTES) {
      return image(ImageRc.invalidImageHeader);
    }
    if (size === undefined) {
      return image(ImageRc.invalidLength);
    }
    const header = decodeHeader(data);
    if (header.magic !== IMAGE_MAGIC) {
      return image(ImageRc.invalidImageHeaderMagic);
    }
    if (sha.length > 32) {
      return image(ImageRc.invalidHash);
    }
    if (sha.length > 0 && this.#upload !== undefined && equal(this.#upload.sha, sha)) {
      return { body: { off: this.#upload.off } };
    }
    if (number !== 0 || this.#slots.inUse(1)) {
      return image(ImageRc.noFreeSlot);
    }
    if (size > this.#slots.uploadBytesMax) {
      return image(ImageRc.imageTooLarge);
    }
    const running = this.#slots.runningVersion();
    if (body.get("upgrade") === true && (running === undefined || compareVersion(running, header.version) >= 0)) {
      return image(running === undefined ? ImageRc.versionGetFailed : ImageRc.currentVersionIsNewer);
    }
    const upload: Upload = { size, sha: sha.slice(), off: 0 };
    if (this.#checks && sha.length === 32 && equal(this.#slots.digest(size), sha)) {
      return { body: { off: size, match: true } };
    }
    this.#upload = upload;
    this.#slots.begin(size);
    return data.length > size ? image(ImageRc.imageDataOverrun) : this.#append(upload, data);
  }

  #append(upload: Upload, data: Uint8Array): Answer {
    const last = upload.off + data.length === upload.size;
    if (!this.#slots.append(data, last)) {
      this.#upload = undefined;
      return image(ImageRc.flashWriteFailed);
    }
    upload.off += data.length;
    if (!last) {
      return { body: { off: upload.off } };
    }
    this.#upload = undefined;
    return { body: { off: upload.off, match: this.#checks ? equal(this.#slots.digest(upload.size), upload.sha) : undefined } };
  }

  #erase(body: CborMap): Answer {
    const slot = body.get("slot") ?? 1;
    if (slot !== 0 && slot !== 1) {
      return image(ImageRc.invalidSlot);
    }
    if (slot === 0 || (this.#slots.slotHasImage(slot) && this.#slots.inUse(slot))) {
      return image(ImageRc.noFreeSlot);
    }
    this.#slots.erase();
    this.#upload = undefined;
    return DONE;
  }

  #setting(command: number, isWrite: boolean, body: CborMap): Answer {
    const name = body.get("name");
    const value = body.get("val");
    if (typeof name !== "string") {
      return { rc: Rc.invalid };
    }
    if (command === SettingsCommand.delete) {
      this.settings.delete(name);
      return DONE;
    }
    if (isWrite) {
      if (!(value instanceof Uint8Array)) {
        return { rc: Rc.invalid };
      }
      this.settings.set(name, value);
      return DONE;
    }
    const found = this.settings.get(name);
    return found === undefined ? { group: Group.settings, rc: SettingsRc.keyNotFound } : { body: { val: found } };
  }

  get #checks(): boolean {
    return this.options.imageCheck ?? true;
  }
}

function image(rc: number): Answer {
  return { group: Group.image, rc };
}

/** Group codes become common ones in version 1, as img_mgmt translates them. */
function bodyOf(answer: Answer, version: 1 | 2): CborRecord {
  if ("body" in answer) {
    return answer.body;
  }
  if (!("group" in answer)) {
    return { rc: answer.rc };
  }
  return version === 2 ? { err: { group: answer.group, rc: answer.rc } } : { rc: LEGACY.get(`${answer.group}/${answer.rc}`) ?? Rc.unknown };
}

const LEGACY: ReadonlyMap<string, number> = new Map([
  ...[ImageRc.noFreeSlot, ImageRc.currentVersionIsNewer, ImageRc.imageAlreadyPending].map((rc) => [`${Group.image}/${rc}`, Rc.badState] as const),
  ...[ImageRc.invalidSlot, ImageRc.invalidOffset, ImageRc.invalidLength, ImageRc.invalidImageHeader, ImageRc.invalidHash].map((rc) => [`${Group.image}/${rc}`, Rc.invalid] as const),
  [`${Group.image}/${ImageRc.noImage}`, Rc.noEntry],
  [`${Group.statistics}/${StatisticsRc.invalidGroup}`, Rc.noEntry],
  [`${Group.settings}/${SettingsRc.keyNotFound}`, Rc.noEntry],
]);

function equal(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
