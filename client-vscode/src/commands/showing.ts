// What is there, and what is wrong with it.
import * as vscode from "vscode";
import { tell } from "../failures.ts";
import { log } from "../log.ts";
import { remediesOf, sentenceOf } from "../remedies.ts";
import { openWalkthrough } from "../walkthrough.ts";
import { type Action, type Parts, within } from "./action.ts";

export const showStatus = within(page("Status", "status"));
export const stats = within(page("Statistics", "stats"));
export const showMessages = within(page("Window", "messages"));

export const doctor: Action = async ({ environment }) => {
  const command = await environment.server(() => undefined, new AbortController().signal);
  const args = command.args.map((word) => (word === "serve" ? "doctor" : word));
  const execution = new vscode.ProcessExecution(command.file, args);
  const definition = { type: "ullage", name: "doctor" };
  const task = new vscode.Task(definition, vscode.TaskScope.Workspace, "doctor", "Ullage", execution, []);
  task.presentationOptions = {
    reveal: vscode.TaskRevealKind.Always,
    panel: vscode.TaskPanelKind.Dedicated,
    clear: true,
  };
  await vscode.tasks.executeTask(task);
};

export const openSettings: Action = async () => {
  await vscode.commands.executeCommand("workbench.action.openSettings", "@ext:ullage.ullage");
};

export const openChat: Action = async () => {
  await vscode.commands.executeCommand("workbench.action.chat.open", {
    query: "@ullage ",
    isPartialQuery: true,
  });
};

export const showWalkthrough: Action = async () => {
  await openWalkthrough();
};

export const restartServer: Action = ({ connection }) => connection.restart();

export const showLog: Action = async () => log.show();

export const useSmallModel: Action = async ({ environment }) => {
  await environment.installSmallModel();
};

/** Why there is no status: what the status bar leads to where it can't show one. */
export const showProblem: Action = async ({ connection, contexts }) => {
  const { health } = connection;
  if (health.state === "failed") void tell(health.problem);
  else if (contexts.failure) {
    void tell({ message: sentenceOf(contexts.failure), remedies: remediesOf(contexts.failure) });
  }
};

/** What one of the server's own lines says, as a page. */
function page(title: string, line: string) {
  return ({ connection, documents }: Parts, { id, name }: { id: string; name: string }) =>
    documents.preview(
      `${title} of ${name}`,
      async () => (await connection.request("context/command", { line, contextId: id })).markdown,
    );
}
