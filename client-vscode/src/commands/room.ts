// Making room in the window, and taking that back.
import * as vscode from "vscode";
import { counted, filled, grouped, moment, percent } from "../figures.ts";
import type { CompressionEstimate, CompressionResult, Context, Operation, Strategy } from "../protocol.ts";
import { undoable, wordsOf } from "../undoable.ts";
import { carryOut, type Parts, say, within } from "./action.ts";

const STRATEGIES: Record<Strategy, string> = {
  hybrid: "Old tool results are taken out first; the model sums up what is still too much",
  summarize: "The model sums the oldest turns up",
  truncate: "The oldest turns leave the window and stay in the history",
};
const MEANS = {
  toolResults: "masking tool results",
  summary: "a summary",
  truncation: "leaving old turns out",
};
const BY = { client: "you", server: "the server", guard: "the guard" };
const SHOWN = 200;

export const compress = within(async (parts, context) => {
  const strategy = await askForStrategy(parts, context);
  if (!strategy) return;
  const { connection } = parts;
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: `Compressing ${context.name}`,
    cancellable: true,
  };
  const result = await vscode.window.withProgress(options, (_, token) =>
    connection.request("context/compress", { contextId: context.id, strategy }, token),
  );
  say(compressedText(result), undoing(parts, context));
});

export const clear = within(async (parts, context) => {
  const { usage } = await parts.connection.request("context/clear", { contextId: context.id });
  say(`Cleared: ${filled(usage)}. System prompt and pins stay.`, undoing(parts, context));
});

export const undo = within(async ({ connection }, context) => {
  await undoNow(connection, context.id);
});

export const history = within(async ({ connection }, context) => {
  const params = { contextIds: [context.id], limit: SHOWN };
  const operations = (await connection.request("context/history", params)).operations.sort(
    (a, b) => b.at - a.at,
  );
  const canBeUndone = new Set(undoable(operations));
  const items = operations.map((operation) => itemOf(operation, canBeUndone.has(operation)));
  const chosen = await vscode.window.showQuickPick(items, {
    title: `Ullage: history of ${context.name}`,
    placeHolder: "Choose what to take back",
    matchOnDescription: true,
  });
  if (chosen?.isUndoable) await undoNow(connection, context.id, chosen.operation.id);
  else if (chosen) say(`This can't be taken back: ${chosen.operation.kind} does not change the window.`);
});

async function undoNow(
  connection: Parts["connection"],
  contextId: string,
  operationId?: string,
): Promise<void> {
  const params = operationId === undefined ? { contextId } : { contextId, operationId };
  const { undone, usage } = await connection.request("context/undo", params);
  say(`Took back: ${wordsOf(undone.kind).toLowerCase()}. Now ${filled(usage)}.`);
}

export function undoing(parts: Parts, context: Context) {
  return { title: "Undo", go: () => carryOut(parts, undo, { contextId: context.id }) };
}

async function askForStrategy({ connection }: Parts, { id, name }: Context): Promise<Strategy | undefined> {
  const estimate = (strategy?: Strategy) =>
    connection.request("context/estimateCompression", { contextId: id, ...(strategy && { strategy }) });
  const preferred = await estimate();
  const others = (Object.keys(STRATEGIES) as Strategy[]).filter(
    (strategy) => strategy !== preferred.strategy,
  );
  const estimates = [preferred, ...(await Promise.all(others.map(estimate)))];
  const useful = estimates.filter(
    ({ compressedTokens, originalTokens }) => compressedTokens < originalTokens,
  );
  if (useful.length === 0) {
    say("There is nothing to compress yet: the newest messages, system prompt and pins stay as they are.");
    return undefined;
  }
  const items = useful.map((each) => ({
    ...estimateItem(each),
    picked: each === preferred,
    strategy: each.strategy,
  }));
  const options = {
    title: `Ullage: compress ${name}`,
    placeHolder: "What it would come to; undo brings everything back",
  };
  return (await vscode.window.showQuickPick(items, { ...options, matchOnDescription: true }))?.strategy;
}

function estimateItem({
  strategy,
  removed,
  needsModel,
  ...figures
}: CompressionEstimate): vscode.QuickPickItem {
  const model = needsModel ? "asks the model" : "needs no model";
  return {
    label: wordsOf(strategy),
    description: smaller(figures),
    detail: `${STRATEGIES[strategy]}: ${counted(removed, "message")} would leave, ${model}.`,
  };
}

function compressedText(result: CompressionResult): string {
  const by = result.reducedBy.map((means) => MEANS[means]).join(" and ");
  return `Compressed${by && ` by ${by}`}: ${smaller(result)}.`;
}

function smaller(figures: Pick<CompressionResult, "originalTokens" | "compressedTokens" | "ratio">): string {
  return `${grouped(figures.originalTokens)} → ${grouped(figures.compressedTokens)} tokens (${percent(figures.ratio)})`;
}

function itemOf(operation: Operation, isUndoable: boolean) {
  return {
    label: `${isUndoable ? "$(discard) " : ""}${wordsOf(operation.kind)}`,
    description: `${moment(operation.at)} · by ${BY[operation.origin]}`,
    operation,
    isUndoable,
  };
}
