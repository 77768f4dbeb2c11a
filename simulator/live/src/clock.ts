// SPDX-License-Identifier: Apache-2.0
import { type Instant, instant } from "@coalmine/core";

export interface AcceleratedClockOptions {
  /** The device time at the start. */
  readonly epoch: Instant;
  /** Device milliseconds in a real one. */
  readonly speed: number;
  /**
   * Longest real time that one pause of this process may count, in milliseconds. Without it device time is linear,
   * as several processes with one epoch need it. With it a busy machine makes a run longer, not different: devices
   * do not miss their deadlines because the process that plays them had to wait for a processor.
   */
  readonly pauseMax?: number;
  /** Real time in milliseconds; monotonic. */
  readonly real?: () => number;
}

/** Device time that runs `speed` times as fast as the real one. Never goes back. */
export class AcceleratedClock {
  #speed: number;
  readonly #real: () => number;
  readonly #pauseMax: number;
  #limit: () => number = () => Number.POSITIVE_INFINITY;
  #seen: number;
  #at: number;

  constructor(options: AcceleratedClockOptions) {
    this.#speed = options.speed;
    this.#real = options.real ?? (() => performance.now());
    this.#pauseMax = options.pauseMax ?? Number.POSITIVE_INFINITY;
    this.#seen = this.#real();
    this.#at = options.epoch;
  }

  now(): Instant {
    const real = this.#real();
    const passed = Math.min(real - this.#seen, this.#pauseMax) * this.#speed;
    this.#seen = real;
    this.#at = Math.max(this.#at, Math.min(this.#at + passed, this.#limit()));
    return instant(Math.floor(this.#at));
  }

  /** Device milliseconds in a real one. */
  get speed(): number {
    return this.#speed;
  }

  /** Runs at another speed from now on. */
  setSpeed(speed: number): void {
    this.now();
    this.#speed = speed;
  }

  /**
   * Keeps device time from passing what `limit` returns, for as long as it returns it. A driver that is behind uses
   * it, so that a message which took a moment of real time did not take minutes of device time.
   */
  limitBy(limit: () => number): void {
    this.#limit = limit;
  }
}
