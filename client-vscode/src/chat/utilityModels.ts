// The offer to let the local model do VS Code's small chores as well: titles of chats, commit messages, names.
import * as vscode from "vscode";
import type { Information } from "./modelInformation.ts";

const OFFERED = "ullage.utilityModelsOffered";
const USE = "Use the Local Model";
const NO = "No, Thanks";

const OFFER =
  "VS Code can have chat titles, commit messages and inline chat answered by your local model too, so that nothing leaves this machine. It takes the model a moment each time.";

/** At the first answer in a chat view, and never again: VS Code keeps what the person has not answered among its
 * notifications. Not where the settings say already what is wanted. */
export async function offerUtilityModels(memento: vscode.Memento, model: Information): Promise<void> {
  if (memento.get<boolean>(OFFERED, false) || isDecided()) return;
  await memento.update(OFFERED, true);
  const chosen = await vscode.window.showInformationMessage(OFFER, USE, NO);
  if (chosen === USE) await use(model);
}

function isDecided(): boolean {
  const decided = vscode.workspace.getConfiguration("chat").inspect("byokUtilityModelDefault");
  return decided?.globalValue !== undefined || decided?.workspaceValue !== undefined;
}

async function use({ name }: Information): Promise<void> {
  const everywhere = vscode.ConfigurationTarget.Global;
  const configuration = vscode.workspace.getConfiguration();
  await configuration.update("chat.byokUtilityModelDefault", "mainAgent", everywhere);
  await configuration.update("inlineChat.defaultModel", `${name} (ullage)`, everywhere);
}
