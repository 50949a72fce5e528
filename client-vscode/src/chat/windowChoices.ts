// The size of window that a person chose beside the model in VS Code's chat.
import type { Connection } from "../connection.ts";
import type { Contexts } from "../contexts.ts";
import { Failure, type Kind } from "../failures.ts";
import { note } from "./messages.ts";
import { type Information, short } from "./modelInformation.ts";

/** A refusal that stands until the person chooses another size; after any other it is tried again. */
const FINAL: readonly Kind[] = ["insufficientMemory", "notSupported"];

export class WindowChoices {
  readonly #connection: Pick<Connection, "request">;
  readonly #contexts: Pick<Contexts, "ensure" | "status" | "statusOf">;
  /** What was asked for last, by model and the context's own model: memory may have its own say afterwards, and the
   * person's word is not repeated at every question. */
  readonly #applied = new Map<string, number>();

  constructor(
    connection: Pick<Connection, "request">,
    contexts: Pick<Contexts, "ensure" | "status" | "statusOf">,
  ) {
    this.#connection = connection;
    this.#contexts = contexts;
  }

  /** Gives the model the chosen size where that is news; a remark for the person where it could not be given. */
  async apply(model: Information, chosen: unknown): Promise<string | undefined> {
    const both = JSON.stringify([model.id, this.#contexts.status?.model.name]);
    if (typeof chosen !== "number" || chosen === this.#applied.get(both)) return undefined;
    this.#applied.set(both, chosen);
    if (chosen === model.maxContextWindowTokens) return undefined;
    try {
      return await this.#resize(model, chosen);
    } catch (error) {
      const { kind, message } = Failure.of(error);
      if (!FINAL.includes(kind)) this.#applied.delete(both);
      return note(`the window keeps its size. ${message}`);
    }
  }

  async #resize(model: Information, tokens: number): Promise<string | undefined> {
    const { id: contextId } = await this.#contexts.ensure();
    if (this.#contexts.statusOf(contextId)?.model.name !== model.id) {
      return note(
        `the window keeps its size: only that of this context's own model can be changed. Choose ${model.id} for it first.`,
      );
    }
    const report = await this.#connection.request("context/resize", { contextId, tokens });
    if (report.tokens >= tokens) return undefined;
    return note(
      `the window has ${short(report.tokens)} now in place of ${short(tokens)}: ${report.explanation}.`,
    );
  }
}
