// Every command of the palette and of the tree.
import * as vscode from "vscode";
import type { Connection } from "../connection.ts";
import type { Contexts } from "../contexts.ts";
import type { Environment } from "../server/environment.ts";
import { type Action, carryOut, type Parts, type Target, waited } from "./action.ts";
import * as choosing from "./choosing.ts";
import { Documents } from "./documents.ts";
import * as keeping from "./keeping.ts";
import * as messages from "./messages.ts";
import * as room from "./room.ts";
import * as showing from "./showing.ts";
import { autoSize, setSize } from "./size.ts";

const { exportContext, importContext, ...snapshots } = keeping;
const { undoing: _, ...makingRoom } = room;

const ACTIONS: Record<string, Action> = {
  ...choosing,
  ...messages,
  ...showing,
  ...snapshots,
  ...makingRoom,
  autoSize,
  setSize,
  export: exportContext,
  import: importContext,
};

export function registerCommands(
  connection: Connection,
  contexts: Contexts,
  environment: Environment,
): vscode.Disposable {
  const documents = new Documents();
  const parts: Parts = { connection: seen(connection), contexts, environment, documents };
  const registered = Object.entries(ACTIONS).map(([name, action]) =>
    vscode.commands.registerCommand(`ullage.${name}`, (target?: Target) =>
      carryOut(parts, action, targetOf(target)),
    ),
  );
  return vscode.Disposable.from(documents, ...registered);
}

/** Whatever a command asks the server for, so that nothing seems to be stuck. */
function seen(connection: Connection): Parts["connection"] {
  return {
    get health() {
      return connection.health;
    },
    request: (method, params, token) => waited(() => connection.request(method, params, token)),
    restart: () => connection.restart(),
  };
}

/** A row of the tree; whatever else VS Code hands over, such as the folder that a menu was opened on, is none. */
function targetOf(argument: unknown): Target | undefined {
  const isTarget = typeof argument === "object" && argument !== null && "contextId" in argument;
  return isTarget ? (argument as Target) : undefined;
}
