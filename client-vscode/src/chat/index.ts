// Everything that Ullage adds to VS Code's chat.
import * as vscode from "vscode";
import type { Connection } from "../connection.ts";
import type { Contexts } from "../contexts.ts";
import { Participant } from "./participant.ts";
import { Precedence } from "./precedence.ts";
import { Provider } from "./provider.ts";
import { offerUtilityModels } from "./utilityModels.ts";

const VENDOR = "ullage";

export function registerChat(
  context: vscode.ExtensionContext,
  connection: Connection,
  contexts: Contexts,
): vscode.Disposable {
  const precedence = new Precedence();
  const provider = new Provider(connection, contexts, precedence);
  return vscode.Disposable.from(
    provider,
    provider.onDidAnswer((model) => offerUtilityModels(context.globalState, model)),
    vscode.lm.registerLanguageModelChatProvider(VENDOR, provider),
    new Participant(connection, contexts, precedence, context.extensionUri),
  );
}
