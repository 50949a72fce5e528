// Token counts, asked for in thousands, mostly of tiny texts: what comes in one turn of the event loop is one request,
// and what was counted is remembered.
import { hash } from "node:crypto";

export type Ask = (model: string, texts: string[]) => Promise<readonly number[]>;

const KEPT = 50_000;
/** From this length on a text is remembered by its hash. */
const LONG = 64;

interface Waiting {
  text: string;
  answers: ((count: number) => void)[];
}

export class TokenCounts {
  readonly #ask: Ask;
  readonly #kept: number;
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Map<string, Map<string, Waiting>>();
  readonly #asking = new Set<string>();
  /** What was asked before models were counted in another way is not remembered. */
  #generation = 0;

  constructor(ask: Ask, kept = KEPT) {
    this.#ask = ask;
    this.#kept = kept;
  }

  /** Never fails: where nobody answers it is an estimate, which is not remembered. */
  async count(model: string, text: string): Promise<number> {
    const key = keyOf(model, text);
    const known = this.#counts.get(key);
    if (known === undefined) return this.#wait(model, key, text);
    this.#counts.delete(key);
    this.#counts.set(key, known);
    return known;
  }

  /** To be called when models are counted in another way. */
  forget(): void {
    this.#generation += 1;
    this.#counts.clear();
  }

  #wait(model: string, key: string, text: string): Promise<number> {
    const queue = this.#waiting.get(model) ?? new Map<string, Waiting>();
    this.#waiting.set(model, queue);
    const waiting = queue.get(key) ?? { text, answers: [] };
    queue.set(key, waiting);
    if (queue.size === 1 && !waiting.answers.length) setImmediate(() => void this.#flush(model));
    return new Promise((resolve) => waiting.answers.push(resolve));
  }

  /** One request at a time: what is asked meanwhile becomes the next one. */
  async #flush(model: string): Promise<void> {
    const queue = this.#waiting.get(model);
    if (!queue || this.#asking.has(model)) return;
    this.#waiting.delete(model);
    this.#asking.add(model);
    try {
      await this.#answer(model, queue);
    } finally {
      this.#asking.delete(model);
      void this.#flush(model);
    }
  }

  async #answer(model: string, queue: ReadonlyMap<string, Waiting>): Promise<void> {
    const generation = this.#generation;
    const counts = await this.#ask(
      model,
      Array.from(queue.values(), ({ text }) => text),
    ).catch((): number[] => []);
    let index = 0;
    for (const [key, { text, answers }] of queue) {
      const count = counts[index++];
      if (count !== undefined && generation === this.#generation) this.#remember(key, count);
      for (const answer of answers) answer(count ?? estimate(text));
    }
  }

  #remember(key: string, count: number): void {
    this.#counts.set(key, count);
    if (this.#counts.size <= this.#kept) return;
    const oldest = this.#counts.keys().next();
    if (!oldest.done) this.#counts.delete(oldest.value);
  }
}

/** Until the server can be asked: a token for every four characters, or part of four. */
export function estimate(text: string): number {
  return Math.ceil(text.length / 4);
}

function keyOf(model: string, text: string): string {
  return text.length < LONG ? `${model}\n=${text}` : `${model}\n#${text.length}:${hash("sha256", text)}`;
}
