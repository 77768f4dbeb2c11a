// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";
import type { KeyInput, PublicKey, SignatureKind } from "./keys.ts";
import { loadPublicKey, loadSigningKey } from "./keys.ts";

export type SwapMode = "swap-move" | "swap-offset" | "swap-scratch" | "overwrite" | "direct-xip";

/**
 * `exact` does what the recorded bootutil does, defects included; `safe` never ends unbootable and lets the right image win.
 * docs/mcuboot-modes.md lists every difference.
 */
export type Profile = "exact" | "safe";

/** How one bootloader was built; the names of the MCUboot options are in the field comments. */
export interface BootConfig {
  readonly mode: SwapMode;
  readonly sig: SignatureKind;
  /** Embedded verification keys; their order is the key index. */
  readonly keys: readonly PublicKey[];
  /** MCUBOOT_BOOT_MAX_ALIGN, bytes. */
  readonly maxAlign: number;
  /** MCUBOOT_MAX_IMG_SECTORS. */
  readonly maxImgSectors: number;
  /** MCUBOOT_VALIDATE_PRIMARY_SLOT. */
  readonly validatePrimary: boolean;
  /** MCUBOOT_BOOTSTRAP. */
  readonly bootstrap: boolean;
  /** MCUBOOT_DOWNGRADE_PREVENTION, by version or (…_SECURITY_COUNTER) by counter. */
  readonly downgrade: null | "version" | "counter";
  /** MCUBOOT_HW_ROLLBACK_PROT. */
  readonly hwRollback: boolean;
  /** MCUBOOT_USE_TLV_ALLOW_LIST. */
  readonly tlvAllowList: boolean;
  /** MCUBOOT_IMAGE_NUMBER. */
  readonly images: number;
  /** MCUBOOT_OVERWRITE_ONLY_FAST. */
  readonly overwriteFast: boolean;
  /** MCUBOOT_DIRECT_XIP_REVERT. */
  readonly xipRevert: boolean;
  /** MCUBOOT_VERSION_CMP_USE_BUILD_NUMBER. */
  readonly versionCmpBuild: boolean;
  /** MCUBOOT_ENCRYPT_X25519 or _EC256. */
  readonly enc: null | "x25519" | "ec256";
  /** The bootloader's private decryption key; needed only for encrypted images. */
  readonly encKey: KeyObject | undefined;
  readonly profile: Profile;
  /** Distinguishes configurations in caches: two configs with one id boot alike. */
  readonly id: string;
}

export interface BootConfigOptions extends Partial<Omit<BootConfig, "keys" | "encKey" | "id" | "mode">> {
  readonly mode: SwapMode;
  readonly keys?: readonly (KeyInput | PublicKey)[];
  readonly encKey?: KeyInput | undefined;
}

/** Fills in Zephyr's defaults: primary validated, allow list on, fast overwrite, alignment 8, 128 sectors, one image; `sig` follows the first key. */
export function bootConfig(options: BootConfigOptions): BootConfig {
  const keys = (options.keys ?? []).map((key) => loadPublicKey(key));
  const config = {
    mode: options.mode,
    sig: options.sig ?? keys[0]?.kind ?? "none",
    keys,
    maxAlign: options.maxAlign ?? 8,
    maxImgSectors: options.maxImgSectors ?? 128,
    validatePrimary: options.validatePrimary ?? true,
    bootstrap: options.bootstrap ?? false,
    downgrade: options.downgrade ?? null,
    hwRollback: options.hwRollback ?? false,
    tlvAllowList: options.tlvAllowList ?? true,
    images: options.images ?? 1,
    overwriteFast: options.overwriteFast ?? true,
    xipRevert: options.xipRevert ?? false,
    versionCmpBuild: options.versionCmpBuild ?? false,
    enc: options.enc ?? null,
    profile: options.profile ?? "exact",
  } satisfies Partial<BootConfig>;
  const encKey = options.encKey === undefined ? undefined : loadSigningKey(options.encKey);
  const id = JSON.stringify({
    ...config,
    keys: keys.map((key) => Array.from(key.hash).join(".")),
    encKey: encKey?.export({ format: "jwk" })["x"],
  });
  return { ...config, encKey, id };
}

/** The same bootloader under another profile. */
export function withProfile(config: BootConfig, profile: Profile): BootConfig {
  return config.profile === profile ? config : { ...config, profile, id: `${config.id}/${profile}` };
}

export const AREA_PRIMARY = 1;
export const AREA_SECONDARY = 2;
export const AREA_SCRATCH = 3;

/** Flash area ids of one image's two slots. */
export function slotIds(image: number): { primary: number; secondary: number } {
  return image === 0 ? { primary: AREA_PRIMARY, secondary: AREA_SECONDARY } : { primary: 2 + 2 * image, secondary: 3 + 2 * image };
}
