// What happened that a person should see at once, each thing once; all else is in the log and in the status bar.
//
// What the server asks or tells the person itself (what the guard cleared, a damaged store, settings that make no sense)
// reaches them through the language client, and is not told again here.
import * as vscode from "vscode";
import type { Connection } from "./connection.ts";
import type { Contexts } from "./contexts.ts";
import { counted, grouped, size } from "./figures.ts";
import { log } from "./log.ts";
import type { EventParams, LowMemoryParams } from "./protocol.ts";

const NEVER = "Don't Show Again";
const SILENCED = "ullage.silenced";

interface Toast {
  /** By which it is silenced. */
  topic: string;
  message: string;
  ways: Record<string, string>;
}

export class Notifications implements vscode.Disposable {
  readonly #memento: vscode.Memento;
  readonly #contexts: Contexts;
  readonly #subscriptions: vscode.Disposable;
  readonly #standing = new Set<string>();

  constructor(connection: Connection, contexts: Contexts, memento: vscode.Memento) {
    this.#memento = memento;
    this.#contexts = contexts;
    this.#subscriptions = vscode.Disposable.from(
      connection.on("context/lowMemory", (params) => void this.#show(lowMemory(params), undefined)),
      connection.on("context/event", (event) => this.#hear(event)),
    );
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #hear(event: EventParams): void {
    log.info(`${event.kind} ${JSON.stringify(event.detail)}`);
    const name = event.contextId ? this.#contexts.statusOf(event.contextId)?.context.name : undefined;
    const toast = toastOf(event, name ?? "a conversation");
    if (toast) void this.#show(toast, event.contextId ?? undefined);
  }

  /** Not a second time while it stands there, and never again where the person said so. */
  async #show({ topic, message, ways }: Toast, contextId: string | undefined): Promise<void> {
    const key = `${topic} ${contextId ?? ""}`;
    if (this.#standing.has(key) || this.#silenced.includes(topic)) return;
    this.#standing.add(key);
    try {
      const chosen = await vscode.window.showWarningMessage(message, ...Object.keys(ways), NEVER);
      const command = chosen && ways[chosen];
      if (chosen === NEVER) await this.#memento.update(SILENCED, [...this.#silenced, topic]);
      else if (command) await vscode.commands.executeCommand(command, contextId && { contextId });
    } finally {
      this.#standing.delete(key);
    }
  }

  get #silenced(): string[] {
    return this.#memento.get<string[]>(SILENCED, []);
  }
}

function lowMemory({ reading, threshold }: LowMemoryParams): Toast {
  const free = reading.available === null ? "Less than wanted" : size(reading.available);
  return {
    topic: "lowMemory",
    message: `Memory is low: ${free} is free, below the ${size(threshold)} that should stay so. Take a model out of memory, make the window smaller, or close another program.`,
    ways: { "Unload Model": "ullage.unloadModel", "Set Size": "ullage.setSize", Compress: "ullage.compress" },
  };
}

function toastOf({ kind, detail }: EventParams, name: string): Toast | undefined {
  if (kind === "guardActed") return guardActed((detail as { action?: string }).action, name);
  if (kind !== "truncatedByServer") return undefined;
  const { sent, evaluated } = detail as { sent: number; evaluated: number };
  return {
    topic: kind,
    message: `The model server read only ${grouped(evaluated)} of the ${counted(sent, "token")} that it was sent, so it answered without the rest. Give its model a larger window, or compress “${name}”.`,
    ways: { "Set Size": "ullage.setSize", Compress: "ullage.compress" },
  };
}

/** What the guard did where the server does not ask by itself. */
function guardActed(action: string | undefined, name: string): Toast | undefined {
  if (action === "compress") {
    const message = `Memory was getting short, so “${name}” was compressed. Everything said stays in its history.`;
    return {
      topic: "guardCompressed",
      message,
      ways: { Undo: "ullage.undo", "Show Status": "ullage.showStatus" },
    };
  }
  if (action === "reduce") {
    const message = `Memory was getting short, so the window of “${name}” was made smaller.`;
    return {
      topic: "guardReduced",
      message,
      ways: { "Set Size": "ullage.setSize", "Show Status": "ullage.showStatus" },
    };
  }
  return undefined;
}
