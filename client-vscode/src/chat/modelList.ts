// The models of every server that answers, with their sizes, as VS Code is told of them.
import * as vscode from "vscode";
import type { Connection } from "../connection.ts";
import type { ContextStatus, integer, Model, SizingReport } from "../protocol.ts";
import { type Information, information, nameable, type Sizes, sizesOf } from "./modelInformation.ts";

/** Looking at a model that rests takes the server a moment and some memory, so not every one of a large collection. */
const MOST_SIZED = 6;
const QUIET_MS = 30_000;

export class ModelList implements vscode.Disposable {
  readonly #connection: Connection;
  readonly #didChange = new vscode.EventEmitter<void>();
  readonly onDidChange = this.#didChange.event;
  readonly #reports = new Map<string, Promise<Sizes>>();
  #known: Information[] = [];
  #reading: Promise<Information[]> | undefined;
  /** What was begun before a change knows less than what is begun after it. */
  #generation = 0;
  #compared = "";
  #lookedAt = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Waits for a server that is starting, and asks for nothing where there is none. */
  async read(): Promise<Information[]> {
    if (!["starting", "running"].includes(this.#connection.health.state)) return [];
    this.#reading ??= this.#read();
    return this.#reading;
  }

  changed(): void {
    this.#generation += 1;
    this.#reports.clear();
    this.#reading = undefined;
    this.#didChange.fire();
  }

  /** A context's status may tell of a model, or of a size of it, that VS Code does not know. */
  compare({ model: { name }, usage: { limit } }: ContextStatus): void {
    const told = `${name} ${limit}`;
    if (name === null || limit === null || told === this.#compared) return;
    this.#compared = told;
    const known = this.#known.find(({ id }) => id === name);
    if (known?.maxContextWindowTokens !== limit) this.changed();
  }

  /** Servers come and go without telling anybody. */
  async lookAgain(): Promise<void> {
    if (Date.now() - this.#lookedAt < QUIET_MS) return;
    const before = JSON.stringify(this.#known);
    if (JSON.stringify(await this.read()) !== before) this.#didChange.fire();
  }

  dispose(): void {
    this.#didChange.dispose();
  }

  async #read(): Promise<Information[]> {
    this.#lookedAt = Date.now();
    const generation = this.#generation;
    try {
      const informations = await this.#informations();
      if (generation === this.#generation) this.#known = informations;
      return informations;
    } catch {
      // Nobody asked for anything yet: what is wrong is told where the server's health is shown, and at a question.
      return this.#known;
    } finally {
      if (generation === this.#generation) this.#reading = undefined;
    }
  }

  async #informations(): Promise<Information[]> {
    const { models } = await this.#connection.request("context/models", {});
    const reserve = reserved();
    const sized = new Set([...models].sort(loadedFirst).slice(0, MOST_SIZED));
    const informations = nameable(models).map(async (model) => {
      const sizes = sized.has(model) ? await this.#sizes(model) : sizesOf(model);
      return information(model, sizes, reserve);
    });
    return Promise.all(informations);
  }

  #sizes(model: Model): Promise<Sizes> {
    const key = `${model.provider}/${model.name}/${model.allocatedContext}`;
    const sizes = this.#reports.get(key) ?? this.#askSizes(model);
    this.#reports.set(key, sizes);
    return sizes;
  }

  async #askSizes(model: Model): Promise<Sizes> {
    const report = async (asMuchAsFits: boolean): Promise<SizingReport | undefined> => {
      const sizing = this.#connection.request("context/sizing", { model: model.name, asMuchAsFits });
      return sizing.catch(() => undefined);
    };
    return sizesOf(model, await report(false), await report(true));
  }
}

/** Tokens kept for the answer, by the person's setting or its default; what makes no sense the server has told. */
function reserved(): number {
  const chosen = vscode.workspace.getConfiguration("ullage.context").get<unknown>("reserveOutput");
  return typeof chosen === "number" && chosen >= 1 ? chosen : 1024;
}

function loadedFirst(first: Model, second: Model): integer {
  return Number(second.loaded) - Number(first.loaded);
}
