// Requests that wait for their answer. The language client forgets them where a server that hangs is ended by force.

/** As JSON-RPC says that an answer will not come, the connection having been given up. */
const REJECTED = -32097;

export class Unanswered {
  readonly #rejects = new Set<(reason: unknown) => void>();

  /** The answer, or a rejection once `giveUp` was called: it settles for certain. */
  until<R>(answer: Promise<R>): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    this.#rejects.add(reject);
    void answer.then(resolve, reject).finally(() => this.#rejects.delete(reject));
    return promise;
  }

  /** No answer comes any more. */
  giveUp(): void {
    for (const reject of this.#rejects) reject({ code: REJECTED });
  }
}
