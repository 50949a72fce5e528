// What the manifest's `when` clauses go by, so that nothing is offered that can't work.
import * as vscode from "vscode";
import type { Connection } from "./connection.ts";
import type { Contexts } from "./contexts.ts";
import type { EventKind } from "./protocol.ts";
import { canUndo } from "./undoable.ts";

/** After these there may be more or less to undo. */
const CHANGES: EventKind[] = ["compressed", "trimmed", "cleared", "restored", "undone"];
const LOOKED_THROUGH = 200;

export class ContextKeys implements vscode.Disposable {
  readonly #connection: Connection;
  readonly #contexts: Contexts;
  readonly #known = new Map<string, unknown>();
  readonly #subscriptions: vscode.Disposable;
  #undoOf: string | undefined;

  constructor(connection: Connection, contexts: Contexts) {
    this.#connection = connection;
    this.#contexts = contexts;
    this.#subscriptions = vscode.Disposable.from(
      connection.onDidChangeHealth(() => this.#update()),
      contexts.onDidChange(() => this.#update()),
      connection.on("context/event", ({ kind, contextId }) => {
        if (contextId === contexts.id && CHANGES.includes(kind)) void this.#updateUndo(contextId);
      }),
    );
    this.#update();
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #update(): void {
    const { state } = this.#connection.health;
    const status = this.#contexts.status;
    this.#set("state", state);
    this.#set("running", state === "running");
    this.#set(
      "hasContext",
      state === "running" && this.#contexts.folder !== undefined && !this.#contexts.failure,
    );
    this.#set("hasMessages", (status?.usage.messages ?? 0) > 0);
    this.#set("hasSnapshots", (status?.snapshots ?? 0) > 0);
    this.#set("hasModel", status?.model.name != null);
    if (this.#contexts.id !== this.#undoOf) void this.#updateUndo(this.#contexts.id ?? null);
  }

  async #updateUndo(contextId: string | null): Promise<void> {
    this.#undoOf = contextId ?? undefined;
    let possible = false;
    if (contextId !== null) {
      try {
        const params = { contextIds: [contextId], limit: LOOKED_THROUGH };
        possible = canUndo((await this.#connection.request("context/history", params)).operations);
      } catch {
        // A server that ended meanwhile is asked again when the context is opened on the next one.
        possible = false;
      }
    }
    if (this.#undoOf === (contextId ?? undefined)) this.#set("canUndo", possible);
  }

  #set(name: string, value: unknown): void {
    if (this.#known.get(name) === value) return;
    this.#known.set(name, value);
    void vscode.commands.executeCommand("setContext", `ullage.${name}`, value);
  }
}
