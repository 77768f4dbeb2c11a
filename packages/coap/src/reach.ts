// SPDX-License-Identifier: Apache-2.0

/** What the system says when there is no network to send through: an interface that is down, or no route left. */
const networkDown: ReadonlySet<string> = new Set(["ENETDOWN", "ENETUNREACH"]);

/** Seconds without a datagram from anybody, after the system would not send: one odd address is no outage. */
const patience_s = 5;

/** Whether the socket reaches anything: UDP has no connection to lose, but the system knows when there is no network. */
export class Reach {
  #failedAt_s: number | undefined;

  /** A datagram was not sent. */
  failed(code: string | undefined, now_s: number): void {
    if (code !== undefined && networkDown.has(code)) {
      this.#failedAt_s ??= now_s;
    }
  }

  /** A datagram came, from whomever. */
  heard(): void {
    this.#failedAt_s = undefined;
  }

  isDown(now_s: number): boolean {
    return this.#failedAt_s !== undefined && now_s - this.#failedAt_s >= patience_s;
  }
}
