// What was said: found, kept in the window, erased.
import * as vscode from "vscode";
import { counted, moment, oneLine } from "../figures.ts";
import type { MessageView, SearchHit } from "../protocol.ts";
import { type Action, carryOut, say, within } from "./action.ts";

const SHOWN = 200;
const HITS = 50;
const PAUSE_MS = 150;

export const search: Action = async (parts) => {
  const names = new Map((await parts.contexts.all()).map(({ id, name }) => [id, name]));
  const pick = vscode.window.createQuickPick<vscode.QuickPickItem & { hit: SearchHit }>();
  pick.title = "Ullage: search everything said";
  pick.placeholder = "All words have to be in one message; * at a word's end stands for any ending";
  let waiting: NodeJS.Timeout | undefined;
  const find = async (query: string) => {
    pick.busy = true;
    try {
      const hits = query.trim()
        ? (await parts.connection.request("context/search", { query, limit: HITS })).hits
        : [];
      if (pick.value === query) pick.items = hits.map((hit) => ({ ...hitItem(hit, names), hit }));
    } finally {
      pick.busy = false;
    }
  };
  pick.onDidChangeValue((query) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => void carryOut(parts, () => find(query), undefined), PAUSE_MS);
  });
  pick.onDidAccept(() => {
    const hit = pick.selectedItems[0]?.hit;
    pick.hide();
    if (hit) void parts.documents.show(`${titleOf(hit.message)}.md`, async () => hit.message.content);
  });
  pick.onDidHide(() => {
    clearTimeout(waiting);
    pick.dispose();
  });
  pick.show();
};

export const pinMessages = within(async ({ connection }, { id, name }) => {
  const { messages } = await connection.request("context/messages", { contextId: id, limit: SHOWN });
  const items = messages
    .toReversed()
    .map((message) => ({ ...messageItem(message), picked: message.pinned ?? false }));
  const chosen = await vscode.window.showQuickPick(items, {
    title: `Ullage: pins of ${name}`,
    placeHolder: "What is ticked stays in the window word for word",
    canPickMany: true,
    matchOnDetail: true,
  });
  if (!chosen) return;
  for (const { message, picked } of items) {
    const pinned = chosen.some((item) => item.message === message);
    if (pinned !== picked)
      await connection.request("context/pin", { contextId: id, messageId: message.id, pinned });
  }
  say(chosen.length ? `${counted(chosen.length, "message")} pinned.` : "No message is pinned.");
});

export const forgetMessage = within(async (parts, { id, name }) => {
  const params = { contextId: id, view: "history" as const, limit: SHOWN };
  const { messages } = await parts.connection.request("context/messages", params);
  const chosen = await vscode.window.showQuickPick(messages.toReversed().map(messageItem), {
    title: `Ullage: erase a message of ${name}`,
    matchOnDetail: true,
  });
  if (!chosen) return;
  const detail = `${oneLine(chosen.message.content, 200)}\n\nIt leaves window, history, log and snapshots, and so do summaries that stand for it. Nothing brings it back.`;
  const sure = await vscode.window.showWarningMessage(
    "Erase this message for good?",
    { modal: true, detail },
    "Erase",
  );
  if (sure !== "Erase") return;
  await parts.connection.request("context/forget", { contextId: id, messageId: chosen.message.id });
  say("The message was erased.");
});

function messageItem(message: MessageView) {
  return {
    label: `${oneLine(message.content) || (message.toolCalls?.length ? "calls a tool" : "no words")}`,
    detail: `${message.role} · ${counted(message.tokens, "token")} · ${moment(message.createdAt)}`,
    message,
  };
}

function hitItem(
  { excerpt, message, contextId }: SearchHit,
  names: Map<string, string>,
): vscode.QuickPickItem {
  return {
    label: oneLine(excerpt.replaceAll("**", "")),
    detail: `${names.get(contextId) ?? ""} · ${message.role} · ${moment(message.createdAt)}`,
    alwaysShow: true,
  };
}

function titleOf(message: MessageView): string {
  return `${message.role}, ${moment(message.createdAt)}`;
}
