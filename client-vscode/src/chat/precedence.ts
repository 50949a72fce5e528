// Who goes first at a model: a person's question before VS Code's chores, such as titles, which nobody waits for. Most
// model servers answer one at a time.

export class Precedence {
  readonly #chores = new Set<AbortController>();
  #questions = 0;
  #waiting: (() => void)[] = [];

  /** Chores that run are broken off, and wait until it is answered. */
  async question<T>(work: () => Promise<T>): Promise<T> {
    this.#questions++;
    for (const chore of this.#chores) chore.abort();
    try {
      return await work();
    } finally {
      this.#questions--;
      if (!this.#questions) for (const begin of this.#waiting.splice(0)) begin();
    }
  }

  /** Done anew each time that it was broken off: what `work` tells must not be shown before it has ended. */
  async chore<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    for (;;) {
      while (this.#questions) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      const abort = new AbortController();
      this.#chores.add(abort);
      try {
        const result = await work(abort.signal);
        if (!abort.signal.aborted) return result;
      } catch (error) {
        if (!abort.signal.aborted) throw error;
      } finally {
        this.#chores.delete(abort);
      }
    }
  }
}
