import type { ExtensionContext } from "vscode";
import { registerChat } from "./chat/index.ts";
import { registerCommands } from "./commands/index.ts";
import { Connection } from "./connection.ts";
import { ContextKeys } from "./contextKeys.ts";
import { Contexts } from "./contexts.ts";
import { LanguageStatus } from "./languageStatus.ts";
import { log } from "./log.ts";
import { Notifications } from "./notifications.ts";
import { Environment } from "./server/environment.ts";
import { StatusBar } from "./statusBar.ts";
import { Tree } from "./tree.ts";
import { welcome } from "./walkthrough.ts";

let connection: Connection | undefined;

/** Puts the parts together. The server is started first: all else is made while it comes up. */
export function activate(context: ExtensionContext) {
  const environment = new Environment(context);
  connection = new Connection(context.extension, environment);
  void connection.start();
  const contexts = new Contexts(connection, context.globalState);
  context.subscriptions.push(
    log,
    environment,
    connection,
    contexts,
    new ContextKeys(connection, contexts),
    new StatusBar(connection, contexts),
    new LanguageStatus(connection, contexts),
    new Tree(connection, contexts),
    new Notifications(connection, contexts, context.globalState),
    registerCommands(connection, contexts, environment),
    registerChat(context, connection, contexts),
  );
  void welcome(context.globalState);
  return { connection, contexts };
}

export async function deactivate(): Promise<void> {
  await connection?.end();
}
