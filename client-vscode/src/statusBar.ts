// The one item in the status bar: how full the window and the memory are, or what keeps that from being known.
import * as vscode from "vscode";
import type { Connection } from "./connection.ts";
import type { Contexts } from "./contexts.ts";
import { shortStatus, spokenStatus } from "./figures.ts";
import type { ContextStatus } from "./protocol.ts";
import { LINKED, tooltip } from "./tooltip.ts";

interface Shown {
  text: string;
  /** Markdown where it is of a status, else a sentence. */
  tooltip: string;
  linked?: boolean;
  spoken: string;
  command: string;
  background?: "warning" | "error";
}

const PRIORITY = 100;

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem(
    "ullage.status",
    vscode.StatusBarAlignment.Left,
    PRIORITY,
  );
  readonly #connection: Connection;
  readonly #contexts: Contexts;
  readonly #subscriptions: vscode.Disposable;
  #hover = "";

  constructor(connection: Connection, contexts: Contexts) {
    this.#connection = connection;
    this.#contexts = contexts;
    this.#item.name = "Ullage";
    this.#subscriptions = vscode.Disposable.from(
      this.#item,
      connection.onDidChangeHealth(() => this.#show()),
      contexts.onDidChange(() => this.#show()),
    );
    this.#show();
    this.#item.show();
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #show(): void {
    const shown = this.#shown();
    this.#item.text = shown.text;
    this.#item.command = shown.command;
    this.#item.backgroundColor =
      shown.background && new vscode.ThemeColor(`statusBarItem.${shown.background}Background`);
    this.#item.accessibilityInformation = { label: shown.spoken, role: "button" };
    if (shown.tooltip !== this.#hover) {
      this.#hover = shown.tooltip;
      this.#item.tooltip = shown.linked ? linked(shown.tooltip) : shown.tooltip;
    }
  }

  #shown(): Shown {
    const health = this.#connection.health;
    switch (health.state) {
      case "off":
        return plain("$(shield) Ullage: off", health.reason, "workbench.trust.manage");
      case "failed":
        return {
          ...plain("$(error) Ullage", health.problem.message, "ullage.showProblem"),
          background: "error",
        };
      case "preparing":
        return plain("$(loading~spin) Ullage: preparing", health.step, "ullage.showLog");
      case "starting":
        return plain("$(loading~spin) Ullage", "The server is starting.", "ullage.showLog");
      case "running":
        return this.#running();
    }
  }

  #running(): Shown {
    const { folder, status, failure } = this.#contexts;
    if (!folder) {
      const next = "No folder is open. Open one, and its conversation is kept with it.";
      return plain("Ullage: no folder", next, "vscode.openFolder");
    }
    if (failure) {
      return { ...plain("$(warning) Ullage", failure.message, "ullage.showProblem"), background: "error" };
    }
    if (!status) return plain("$(loading~spin) Ullage", "The context is being opened.", "ullage.showLog");
    return this.#figures(status);
  }

  #figures(status: ContextStatus): Shown {
    const background = backgroundOf(status, this.#contexts.isStuck(status.context.id));
    const spoken = [spokenStatus(status), ...(status.compressing ? ["compressing"] : [])].join(", ");
    return {
      text: `${status.compressing ? "$(loading~spin) " : ""}${shortStatus(status)}`,
      tooltip: tooltip(status),
      linked: true,
      spoken,
      command: "ullage.showStatus",
      ...(background && { background }),
    };
  }
}

/** Red only where the person must act: the window is full, and nothing will make room by itself. */
function backgroundOf(status: ContextStatus, isStuck: boolean): Shown["background"] | undefined {
  if (status.warning === "none") return undefined;
  const mustAct = status.warning === "critical" && (isStuck || !status.autoCompress.enabled);
  return mustAct ? "error" : "warning";
}

function plain(text: string, sentence: string, command: string): Shown {
  return { text, tooltip: sentence, spoken: `Ullage: ${sentence}`, command };
}

function linked(text: string): vscode.MarkdownString {
  const markdown = new vscode.MarkdownString(text, true);
  markdown.isTrusted = { enabledCommands: Object.keys(LINKED) };
  return markdown;
}
