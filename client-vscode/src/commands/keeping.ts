// Keeping conversations: snapshots, and files that are taken elsewhere.
import * as vscode from "vscode";
import { ProblemError, SHOW_LOG } from "../failures.ts";
import { counted, filled, moment, oneLine, snapshotFigures } from "../figures.ts";
import { log } from "../log.ts";
import type { Context, ExportParams, SnapshotInfo } from "../protocol.ts";
import { LARGEST_BODY, tooLarge } from "../server/outgoing.ts";
import { carryOut, type Parts, say, within } from "./action.ts";
import { undoing } from "./room.ts";

/** Of a snapshot that is looked at. */
const SHOWN = 200;
const RESTORED = "Its messages take the place of the window; undo takes it back";
const READ = "Its messages are shown; the window stays as it is";
const DELETED = "It is deleted for good, once you have confirmed that; the window stays as it is";
const FILTERS = { Markdown: ["md"], JSON: ["json"] };

const PREVIEW: vscode.QuickInputButton = {
  iconPath: new vscode.ThemeIcon("eye"),
  tooltip: "Show its messages",
};
const DELETE: vscode.QuickInputButton = {
  iconPath: new vscode.ThemeIcon("trash"),
  tooltip: "Delete for good",
};

export const snapshot = within(async ({ connection }, context) => {
  const words = await vscode.window.showInputBox({
    title: `Ullage: snapshot of ${context.name}`,
    prompt: "Words to know it by; without any, the beginning of what was asked last",
    placeHolder: "before the refactoring",
  });
  if (words === undefined) return;
  const summary = words.trim();
  const kept = await connection.request("context/snapshot/create", {
    contextId: context.id,
    ...(summary && { summary }),
  });
  say(`Kept: ${counted(kept.tokens, "token")} in ${counted(kept.messages, "message")}.`);
});

export const restore = within(async (parts, context, target) => {
  const chosen = target?.snapshot ?? (await askForSnapshot(parts, context, RESTORED));
  if (!chosen) return;
  const params = { snapshotId: chosen.id, contextId: context.id };
  const { usage } = await parts.connection.request("context/snapshot/restore", params);
  say(`Restored: ${filled(usage)}.`, undoing(parts, context));
});

export const previewSnapshot = within(async (parts, context, target) => {
  const chosen = target?.snapshot ?? (await askForSnapshot(parts, context, READ));
  if (chosen) await preview(parts, chosen);
});

export const deleteSnapshot = within(async (parts, context, target) => {
  const chosen = target?.snapshot ?? (await askForSnapshot(parts, context, DELETED));
  if (chosen) await erase(parts, chosen);
});

export const exportContext = within(async ({ connection, contexts }, context) => {
  const folder = contexts.folder?.uri;
  const file = await vscode.window.showSaveDialog({
    title: `Export ${context.name}`,
    filters: FILTERS,
    ...(folder?.scheme === "file" && {
      defaultUri: vscode.Uri.joinPath(folder, `${fileName(context.name)}.md`),
    }),
  });
  if (!file) return;
  const { text } = await connection.request("context/export", {
    contextId: context.id,
    format: formatOf(file),
  });
  await onDisk(file, vscode.workspace.fs.writeFile(file, Buffer.from(text)));
  const open = { title: "Open", go: () => vscode.window.showTextDocument(file) };
  say(`Exported everything said in ${context.name}.`, open);
});

export const importContext = within(async (parts, context) => {
  const [file] =
    (await vscode.window.showOpenDialog({ title: `Import into ${context.name}`, filters: FILTERS })) ?? [];
  if (!file) return;
  const text = await textOf(file);
  if (text === undefined) return;
  const params = { contextId: context.id, format: formatOf(file), text };
  const { messages, usage } = await parts.connection.request("context/import", params);
  say(`Added ${counted(messages, "message")}: ${filled(usage)}.`);
});

/** What would come back, to be read before it does. */
async function preview(
  { connection, documents }: Parts,
  { id, summary, createdAt }: SnapshotInfo,
): Promise<void> {
  const { messages, hasMore } = await connection.request("context/snapshot/messages", {
    snapshotId: id,
    limit: SHOWN,
  });
  const parts = messages.map(
    ({ role, content, pinned }) => `## ${role}${pinned ? " (pinned)" : ""}\n\n${content}\n`,
  );
  const older = hasMore ? [`The newest ${SHOWN} messages of this snapshot; there are older ones.\n`] : [];
  await documents.show(`${oneLine(summary, 40) || moment(createdAt)}.md`, async () =>
    [...older, ...parts].join("\n"),
  );
}

/** With the newest first; one of them may also be erased from here. `consequence`: what comes of choosing one. */
async function askForSnapshot(
  parts: Parts,
  { id, name }: Context,
  consequence: string,
): Promise<SnapshotInfo | undefined> {
  const { snapshots, unreadable } = await parts.connection.request("context/snapshot/list", {
    contextId: id,
  });
  const pick = vscode.window.createQuickPick<vscode.QuickPickItem & { snapshot?: SnapshotInfo }>();
  pick.title = `Ullage: snapshots of ${name}`;
  pick.placeholder = snapshots.length ? consequence : "No snapshot yet";
  pick.matchOnDescription = pick.matchOnDetail = true;
  pick.items = [
    ...snapshots.toReversed().map((each) => ({ ...itemOf(each), snapshot: each })),
    ...unreadable.map(({ file, reason }) => ({ label: `$(warning) ${file}`, detail: reason })),
  ];
  pick.ignoreFocusOut = true; // so that it stays while messages are looked at
  pick.onDidTriggerItemButton(async ({ button, item: { snapshot } }) => {
    if (!snapshot) return;
    if (button === PREVIEW) return carryOut(parts, (all) => preview(all, snapshot), undefined);
    pick.hide();
    await carryOut(parts, (all) => erase(all, snapshot), undefined);
  });
  return new Promise((resolve) => {
    pick.onDidAccept(() => {
      resolve(pick.selectedItems[0]?.snapshot);
      pick.hide();
    });
    pick.onDidHide(() => {
      resolve(undefined);
      pick.dispose();
    });
    pick.show();
  });
}

function itemOf(each: SnapshotInfo): vscode.QuickPickItem {
  return {
    label: oneLine(each.summary) || "No words",
    description: moment(each.createdAt),
    detail: `${snapshotFigures(each)} · ${counted(each.messages, "message")}${each.metadata.model ? ` · ${each.metadata.model}` : ""}`,
    buttons: [PREVIEW, DELETE],
  };
}

async function erase({ connection }: Parts, { id, summary, createdAt }: SnapshotInfo): Promise<void> {
  const what = oneLine(summary, 40) || moment(createdAt);
  const detail = "The conversation stays as it is. Nothing brings the snapshot back.";
  const chosen = await vscode.window.showWarningMessage(
    `Delete the snapshot “${what}” for good?`,
    { modal: true, detail },
    "Delete",
  );
  if (chosen === "Delete") await connection.request("context/snapshot/delete", { snapshotId: id });
}

/** Undefined, with a sentence, for what can't be a conversation. */
async function textOf(file: vscode.Uri): Promise<string | undefined> {
  const { size } = await onDisk(file, vscode.workspace.fs.stat(file));
  if (size > LARGEST_BODY) throw tooLarge(); // and is not even read
  const bytes = await onDisk(file, vscode.workspace.fs.readFile(file));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    say("The file is not text in UTF-8. Save it as UTF-8 and import it again.");
    return undefined;
  }
}

/** What the disk refuses is no fault of the server. */
async function onDisk<T>(file: vscode.Uri, work: Thenable<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    log.warn(`${file}:`, error);
    const message = `${file.fsPath} can't be read or written. See whether its disk is full or you lack the right to it, or choose another file.`;
    throw new ProblemError({ message, remedies: [SHOW_LOG] });
  }
}

function formatOf(file: vscode.Uri): ExportParams["format"] {
  return file.path.toLowerCase().endsWith(".json") ? "json" : "markdown";
}

function fileName(name: string): string {
  return name.replace(/[\\/:*?"<>|]/g, "-");
}
