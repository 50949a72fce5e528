// What every command shares: its parts, the context that it is about, and how its failure is told.
import * as vscode from "vscode";
import type { Connection, Health } from "../connection.ts";
import type { Contexts } from "../contexts.ts";
import { Failure, type Problem, ProblemError, tell } from "../failures.ts";
import type { Context, SnapshotInfo } from "../protocol.ts";
import { isElsewhere, remediesOf, sentenceOf, TRUST } from "../remedies.ts";
import type { Environment } from "../server/environment.ts";
import type { Documents } from "./documents.ts";

export interface Parts {
  connection: Pick<Connection, "health" | "request" | "restart">;
  contexts: Contexts;
  environment: Environment;
  documents: Documents;
}

/** What a row of the tree hands to a command: a context, or one of its snapshots. */
export interface Target {
  contextId: string;
  snapshot?: SnapshotInfo;
}

export type Action = (parts: Parts, target: Target | undefined) => Promise<void>;

/** An action about one context: the row's, else the current one. */
export function within(act: (parts: Parts, context: Context, target?: Target) => Promise<void>): Action {
  return async (parts, target) => {
    const context = await contextOf(parts, target);
    try {
      await act(parts, context, target);
    } catch (error) {
      const failure = Failure.of(error);
      parts.contexts.failed(context.id, failure);
      if (!isElsewhere(failure)) throw error;
      void offerTakeOver(parts, context, failure, () => act(parts, context, target));
    }
  };
}

/** Carries an action out; what fails is one sentence with what helps. */
export async function carryOut(parts: Parts, action: Action, target: Target | undefined): Promise<void> {
  try {
    await action(parts, target);
  } catch (error) {
    const problem = problemOf(parts.connection.health, error);
    if (problem) void tell(problem);
  }
}

/** Where no server can be asked, what keeps it from running is the problem. */
function problemOf(health: Health, error: unknown): Problem | undefined {
  if (error instanceof ProblemError) return error.problem;
  const failure = Failure.of(error);
  if (failure.kind === "cancelled") return undefined;
  if (failure.kind === "noServer" && health.state === "failed") return health.problem;
  if (failure.kind === "noServer" && health.state === "off")
    return { message: failure.message, remedies: [TRUST] };
  return { message: sentenceOf(failure), remedies: remediesOf(failure) };
}

/** What a command waits for is seen to go on: VS Code shows this where it is not over at once. */
export async function waited<T>(work: () => Promise<T>): Promise<T> {
  const options = { location: vscode.ProgressLocation.Window, title: "Ullage: waiting for the server" };
  return vscode.window.withProgress(options, work);
}

/** Says what was done, with at most one way on from there. Nobody waits until it is read. */
export function say(message: string, way?: { title: string; go: () => unknown }): void {
  void vscode.window.showInformationMessage(message, ...(way ? [way.title] : [])).then((chosen) => {
    if (way && chosen === way.title) way.go();
  });
}

async function contextOf({ contexts }: Parts, target: Target | undefined): Promise<Context> {
  if (!target) return waited(() => contexts.ensure());
  const known = contexts.statusOf(target.contextId)?.context;
  const found = known ?? (await waited(() => contexts.all())).find(({ id }) => id === target.contextId);
  if (!found) throw new Failure("unknownContext", "This context is no longer there. Refresh the view.");
  return found;
}

/** Another window writes the context: it can be made to let go, and what was asked for is done then. */
async function offerTakeOver(
  parts: Parts,
  context: Context,
  { message }: Failure,
  act: () => Promise<void>,
): Promise<void> {
  const { workspaceUri, name } = context;
  const chosen = await vscode.window.showWarningMessage(message, "Take Over");
  if (chosen !== "Take Over") return;
  await carryOut(
    parts,
    async ({ connection }) => {
      await connection.request("context/open", { workspaceUri, name, activate: false, takeOver: true });
      await act();
    },
    undefined,
  );
}
