// SPDX-License-Identifier: Apache-2.0

/** A binary min-heap of (time, code) pairs in typed arrays. Equal times come out in order of code. */
export class EventQueue {
  #times = new Float64Array(1 << 15);
  #codes = new Int32Array(1 << 15);
  #size = 0;

  get nextTime(): number {
    return this.#size === 0 ? Infinity : (this.#times[0] as number);
  }

  push(time: number, code: number): void {
    if (this.#size === this.#times.length) this.#grow();
    const [times, codes] = [this.#times, this.#codes];
    let i = this.#size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const t = times[parent] as number;
      if (t < time || (t === time && (codes[parent] as number) <= code)) break;
      times[i] = t;
      codes[i] = codes[parent] as number;
      i = parent;
    }
    times[i] = time;
    codes[i] = code;
  }

  /** Removes the earliest entry and returns its code. */
  pop(): number {
    const [times, codes] = [this.#times, this.#codes];
    const code = codes[0] as number;
    const size = --this.#size;
    const time = times[size] as number;
    const last = codes[size] as number;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      const right = child + 1;
      if (right < size && this.#before(right, child)) child = right;
      const t = times[child] as number;
      if (time < t || (time === t && last <= (codes[child] as number))) break;
      times[i] = t;
      codes[i] = codes[child] as number;
      i = child;
    }
    times[i] = time;
    codes[i] = last;
    return code;
  }

  #before(a: number, b: number): boolean {
    const [x, y] = [this.#times[a] as number, this.#times[b] as number];
    return x < y || (x === y && (this.#codes[a] as number) < (this.#codes[b] as number));
  }

  #grow(): void {
    const times = new Float64Array(2 * this.#times.length);
    const codes = new Int32Array(2 * this.#codes.length);
    times.set(this.#times);
    codes.set(this.#codes);
    this.#times = times;
    this.#codes = codes;
  }
}
