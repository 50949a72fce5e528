// The health of the server and of the model server, behind the braces in the status bar's right.
import * as vscode from "vscode";
import type { Connection } from "./connection.ts";
import type { Contexts } from "./contexts.ts";

type Look = Pick<vscode.LanguageStatusItem, "text" | "detail" | "severity" | "busy" | "command">;

const { Information, Warning, Error: Failed } = vscode.LanguageStatusSeverity;
const LOG: vscode.Command = { title: "Show Log", command: "ullage.showLog" };
const PROBLEM: vscode.Command = { title: "What to Do", command: "ullage.showProblem" };
const DOCTOR: vscode.Command = { title: "Look for Model Servers", command: "ullage.doctor" };

export class LanguageStatus implements vscode.Disposable {
  readonly #item = vscode.languages.createLanguageStatusItem("ullage.health", "*");
  readonly #connection: Connection;
  readonly #contexts: Contexts;
  readonly #subscriptions: vscode.Disposable;

  constructor(connection: Connection, contexts: Contexts) {
    this.#connection = connection;
    this.#contexts = contexts;
    this.#item.name = "Ullage";
    const show = () => Object.assign(this.#item, this.#look());
    this.#subscriptions = vscode.Disposable.from(
      this.#item,
      connection.onDidChangeHealth(show),
      contexts.onDidChange(show),
    );
    show();
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #look(): Look {
    const health = this.#connection.health;
    switch (health.state) {
      case "off":
        return look("Ullage is off", health.reason, Warning, undefined);
      case "failed":
        return look("Ullage has failed", health.problem.message, Failed, PROBLEM);
      case "preparing":
        return { ...look("Ullage is being prepared", health.step, Information, LOG), busy: true };
      case "starting":
        return { ...look("Ullage is starting", "", Information, LOG), busy: true };
      case "running":
        return this.#model();
    }
  }

  #model(): Look {
    const version = `server ${this.#connection.serverVersion ?? ""}`.trim();
    const { folder, status, failure } = this.#contexts;
    if (!folder) return look("Ullage: no folder is open", version, Information, undefined);
    if (failure) return look("Ullage", failure.message, Failed, PROBLEM);
    const model = status?.model;
    if (!model?.name) return look("No model server answers", version, Warning, DOCTOR);
    const where = model.provider ? `${model.provider}/${model.name}` : model.name;
    const choose = { title: "Choose Model", command: "ullage.chooseModel" };
    return look(where, `${model.loaded ? "loaded" : "not loaded"} · ${version}`, Information, choose);
  }
}

function look(
  text: string,
  detail: string,
  severity: vscode.LanguageStatusSeverity,
  command: vscode.Command | undefined,
): Look {
  return { text, detail, severity, busy: false, command };
}
