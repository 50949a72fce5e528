const AT_MOST = 5;
const WITHIN_MS = 3 * 60 * 1000;

/** When to stop starting the server again: with the fifth crash in three minutes. */
export class Crashes {
  #times: number[] = [];

  /** Note a crash; whether it was one too many. */
  add(now: number): boolean {
    this.#times = [...this.#times.filter((time) => now - time < WITHIN_MS), now];
    return this.#times.length >= AT_MOST;
  }

  forget(): void {
    this.#times = [];
  }
}
