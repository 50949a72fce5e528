/** A model server that answers at once and as a test says: the Python tests' own llama.cpp stub. */

import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Family } from "./processes.ts";
import { PYTHON, REPOSITORY } from "./product.ts";

export interface ScriptedAnswer {
  pieces?: string[];
  calls?: { name: string; arguments: string; id?: string }[];
  /** Waits after the first piece until `release`. */
  held?: boolean;
}

export interface Asked {
  messages: { role: string; content: string }[];
  tools?: unknown[];
}

export class StubModel {
  readonly url: string;
  readonly #family: Family;

  private constructor(url: string, family: Family) {
    this.url = url;
    this.#family = family;
  }

  static async start(window = 8192): Promise<StubModel> {
    const script = fileURLToPath(new URL("./stub_model.py", import.meta.url));
    const env = { ...process.env, PYTHONPATH: `${REPOSITORY}/tests` };
    const family = Family.start(PYTHON, [script], { env, stdio: ["pipe", "pipe", "inherit"] });
    const [line] = (await once(family.child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    const stub = new StubModel(line.toString().trim(), family);
    await stub.steer({ n_ctx: window });
    return stub;
  }

  async answer(...answers: ScriptedAnswer[]): Promise<void> {
    await this.steer({ answers });
  }

  async release(): Promise<void> {
    await this.steer({ release: true });
  }

  /** What it was asked, oldest first: the bodies of the requests for an answer. */
  async asked(): Promise<Asked[]> {
    return (await this.#state()).asked;
  }

  /** How many answers the other side broke off. */
  async cancelled(): Promise<number> {
    return (await this.#state()).cancelled;
  }

  async #state(): Promise<{ asked: Asked[]; cancelled: number }> {
    return (await (await fetch(`${this.url}/test`)).json()) as { asked: Asked[]; cancelled: number };
  }

  async steer(wanted: Record<string, unknown>): Promise<void> {
    await fetch(`${this.url}/test`, { method: "POST", body: JSON.stringify(wanted) });
  }

  async stop(): Promise<void> {
    await this.#family.end();
  }
}
