// The four steps for a person who starts with Ullage, opened by themselves only once.
import * as vscode from "vscode";

const WELCOMED = "ullage.welcomed";
const WALKTHROUGH = "ullage.ullage#start";

export function openWalkthrough(): Thenable<unknown> {
  return vscode.commands.executeCommand("workbench.action.openWalkthrough", WALKTHROUGH, false);
}

/** On the first activation of all. */
export async function welcome(memento: vscode.Memento): Promise<void> {
  if (memento.get<boolean>(WELCOMED, false)) return;
  await memento.update(WELCOMED, true);
  await openWalkthrough();
}
