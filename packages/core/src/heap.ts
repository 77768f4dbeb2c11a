// SPDX-License-Identifier: Apache-2.0

/** A binary min-heap of (time, insertion order): equal times leave in the order they came. */
export class TimeHeap<T> {
  readonly #at: number[] = [];
  readonly #order: number[] = [];
  readonly #items: T[] = [];
  #next = 0;

  get size(): number {
    return this.#items.length;
  }

  /** Time of the first item; `Infinity` when empty. */
  get first(): number {
    return this.#at.length === 0 ? Number.POSITIVE_INFINITY : (this.#at[0] as number);
  }

  push(at: number, item: T): void {
    let index = this.#items.length;
    this.#at.push(at);
    this.#order.push(this.#next++);
    this.#items.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) {
        break;
      }
      this.#swap(index, parent);
      index = parent;
    }
  }

  /** Takes the first item out. Undefined when empty. */
  pop(): T | undefined {
    const last = this.#items.length - 1;
    if (last < 0) {
      return undefined;
    }
    this.#swap(0, last);
    const item = this.#items.pop() as T;
    this.#at.pop();
    this.#order.pop();
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      if (left >= last) {
        break;
      }
      const right = left + 1;
      const child = right < last && this.#before(right, left) ? right : left;
      if (!this.#before(child, index)) {
        break;
      }
      this.#swap(index, child);
      index = child;
    }
    return item;
  }

  #before(a: number, b: number): boolean {
    const difference = (this.#at[a] as number) - (this.#at[b] as number);
    return difference < 0 || (difference === 0 && (this.#order[a] as number) < (this.#order[b] as number));
  }

  #swap(a: number, b: number): void {
    swap(this.#at, a, b);
    swap(this.#order, a, b);
    swap(this.#items, a, b);
  }
}

function swap<T>(array: T[], a: number, b: number): void {
  const kept = array[a] as T;
  array[a] = array[b] as T;
  array[b] = kept;
}
