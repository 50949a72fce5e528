// Which context, in which mode, with which model.
import * as vscode from "vscode";
import { bar, counted, filled, moment, oneLine, percent, shortWindow, size } from "../figures.ts";
import type { Context, Model } from "../protocol.ts";
import { type Action, type Parts, say, waited, within } from "./action.ts";

const NEW = "$(add) New context…";
const LONGEST_NAME = 200;

interface ContextItem extends vscode.QuickPickItem {
  contextId?: string;
}

export const switchContext: Action = async (parts, target) => {
  if (target) {
    await switchTo(parts, target.contextId);
    return;
  }
  const items = contextItems(await parts.contexts.all(), parts.contexts.folder, parts.contexts.id);
  const chosen = await vscode.window.showQuickPick(items, {
    title: "Ullage: switch context",
    placeHolder: "Go on in another conversation; this one stays as it is",
    matchOnDescription: true,
  });
  if (chosen?.contextId) await switchTo(parts, chosen.contextId);
  else if (chosen) await newContext(parts, undefined);
};

export const newContext: Action = async (parts) => {
  const { connection, contexts } = parts;
  const { workspaceUri } = await contexts.ensure();
  const taken = (await contexts.all())
    .filter((each) => each.workspaceUri === workspaceUri)
    .map((each) => each.name);
  const name = await askForName("Ullage: new context", taken);
  if (name === undefined) return;
  const mode = await askForMode(parts);
  if (mode === undefined) return;
  const model = await askForModelOrDefault(parts);
  if (model === undefined) return;
  const params = { workspaceUri, name, activate: false, ...(mode && { mode }), ...(model && { model }) };
  const context = await connection.request("context/open", params);
  await switchTo(parts, context.id);
};

export const renameContext = within(async ({ connection, contexts }, { id, name, workspaceUri }) => {
  const others = (await contexts.all()).filter(
    (each) => each.workspaceUri === workspaceUri && each.id !== id,
  );
  const chosen = await askForName(
    `Ullage: rename ${name}`,
    others.map((each) => each.name),
    name,
  );
  if (chosen === undefined) return;
  await contexts.renamed(await connection.request("context/update", { contextId: id, name: chosen }), name);
});

export const deleteContext = within(async ({ connection, contexts }, { id, name, usage }) => {
  const detail = `${counted(usage.messages, "message")} in its window, everything said before, and its snapshots are erased. Nothing brings them back.`;
  const chosen = await vscode.window.showWarningMessage(
    `Erase the context “${name}” for good?`,
    { modal: true, detail },
    "Erase",
  );
  if (chosen !== "Erase") return;
  await connection.request("context/delete", { contextId: id });
  await contexts.erased(id);
});

export const chooseModel = within(async (parts, context) => {
  const models = await offered(parts);
  const chosen = await vscode.window.showQuickPick(
    models.map((model) => modelItem(model, context.model)),
    { title: `Ullage: model of ${context.name}`, matchOnDescription: true },
  );
  if (!chosen) return;
  const { model, usage } = await parts.connection.request("context/model/select", {
    contextId: context.id,
    model: chosen.name,
  });
  say(`${model} answers now: ${filled(usage)}.`);
});

export const unloadModel: Action = async (parts) => {
  const loaded = (await parts.connection.request("context/models", {})).models.filter(
    (model) => model.loaded,
  );
  if (loaded.length === 0) {
    say("No model is loaded, so no memory is held by one.");
    return;
  }
  const chosen = await vscode.window.showQuickPick(
    loaded.map((model) => modelItem(model, null)),
    { title: "Ullage: take a model out of memory", placeHolder: "It is loaded again when it is asked next" },
  );
  if (!chosen) return;
  const { freedBytes } = await parts.connection.request("context/model/unload", { model: chosen.name });
  say(
    freedBytes === null
      ? `${chosen.name} was unloaded.`
      : `${chosen.name} was unloaded: ${size(freedBytes)} freed.`,
  );
};

async function switchTo({ contexts }: Parts, contextId: string): Promise<void> {
  try {
    await waited(() => contexts.switchTo(contextId));
  } catch (error) {
    contexts.failed(contextId, error);
    throw error;
  }
}

/** Those of the folder first, then those of each other workspace under its name. */
function contextItems(
  all: Context[],
  folder: vscode.WorkspaceFolder | undefined,
  present: string | undefined,
): ContextItem[] {
  const groups = Map.groupBy(all, ({ workspaceUri }) => vscode.Uri.parse(workspaceUri).toString());
  const own = folder?.uri.toString() ?? "";
  const order = [own, ...[...groups.keys()].filter((uri) => uri !== own)];
  const items = order.flatMap((uri) => [
    {
      label: vscode.Uri.parse(uri).path.split("/").at(-1) ?? uri,
      kind: vscode.QuickPickItemKind.Separator,
    },
    ...(groups.get(uri) ?? []).map((context) => contextItem(context, present)),
  ]);
  return folder ? [...items, { label: NEW, alwaysShow: true }] : items;
}

function contextItem(
  { id, name, usage, model, lastUsedAt }: Context,
  present: string | undefined,
): ContextItem {
  const fill = usage.fraction === null ? "" : `${bar(usage.fraction)} ${percent(usage.fraction)} · `;
  return {
    label: `${id === present ? "$(check) " : ""}${oneLine(name)}`,
    description: `${fill}${shortWindow(usage.tokens, usage.limit)}`,
    detail: `${model ?? "no model yet"} · ${moment(lastUsedAt)}`,
    contextId: id,
  };
}

function askForName(title: string, taken: string[], value = ""): Thenable<string | undefined> {
  const validateInput = (text: string) => {
    if (taken.includes(text.trim())) return "This workspace has a context of that name. Choose another one.";
    return text.trim() && text.length <= LONGEST_NAME
      ? undefined
      : `A name has 1 to ${LONGEST_NAME} characters.`;
  };
  return vscode.window
    .showInputBox({ title, prompt: "Name of the conversation", placeHolder: "review", value, validateInput })
    .then((text) => text?.trim());
}

/** Empty for no mode; undefined where the person gave up. Without modes in the settings nobody is asked. */
async function askForMode({ connection }: Parts): Promise<string | undefined> {
  const { settings } = await connection.request("context/stats", {});
  const modes = Object.keys(
    (settings.find(({ path }) => path === "modes")?.value as object | undefined) ?? {},
  );
  if (modes.length === 0) return "";
  const none = { label: "No mode", name: "" };
  const items = [none, ...modes.map((name) => ({ label: name, name }))];
  return (await vscode.window.showQuickPick(items, { title: "Ullage: mode of the new context" }))?.name;
}

/** Empty for whichever model there is. With less than two nobody is asked. */
async function askForModelOrDefault({ connection }: Parts): Promise<string | undefined> {
  const { models } = await connection.request("context/models", {});
  if (models.length < 2) return "";
  const any = { label: "Whichever answers", name: "" };
  const items = [any, ...models.map((model) => modelItem(model, null))];
  return (await vscode.window.showQuickPick(items, { title: "Ullage: model of the new context" }))?.name;
}

async function offered({ connection, contexts }: Parts): Promise<Model[]> {
  const { models } = await connection.request("context/models", {});
  if (models.length > 0) return models;
  // A question that needs a model is refused with the server's own sentence, which says what was looked for.
  await connection.request("context/sizing", { contextId: (await contexts.ensure()).id });
  return models;
}

function modelItem(model: Model, present: string | null) {
  const window = model.allocatedContext ?? model.contextLength;
  const figures = [
    model.loaded ? "loaded" : "not loaded",
    ...(model.bytes === null ? [] : [size(model.bytes)]),
    ...(window === null
      ? []
      : [`${counted(window, "token")} ${model.allocatedContext ? "allocated" : "at most"}`]),
  ];
  return {
    label: `${model.name === present ? "$(check) " : ""}${model.name}`,
    description: model.provider,
    detail: figures.join(" · "),
    name: model.name,
  };
}
