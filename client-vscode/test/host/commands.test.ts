import assert from "node:assert/strict";
import * as vscode from "vscode";
import type { Parts } from "../../src/commands/action.ts";
import { deleteSnapshot, previewSnapshot, restore } from "../../src/commands/keeping.ts";
import { search } from "../../src/commands/messages.ts";
import type { Connection } from "../../src/connection.ts";
import type { Contexts } from "../../src/contexts.ts";
import { Failure } from "../../src/failures.ts";
import { until } from "../support/waiting.ts";

describe("commands", () => {
  let connection: Connection;
  let contexts: Contexts;

  before(async () => {
    const extension = vscode.extensions.getExtension<{ connection: Connection; contexts: Contexts }>(
      "ullage.ullage",
    );
    ({ connection, contexts } = await (extension as NonNullable<typeof extension>).activate());
    await until("a context", () => contexts.id !== undefined);
  });

  it("notice, switching to a context, that it was erased elsewhere", async () => {
    const { workspaceUri } = await contexts.ensure();
    const { id: contextId } = await connection.request("context/open", {
      workspaceUri,
      name: "soon gone",
      activate: false,
    });
    await connection.request("context/delete", { contextId });
    const erased: string[] = [];
    const listening = contexts.onDidErase((id) => erased.push(id));
    await vscode.commands.executeCommand("ullage.switchContext", { contextId });
    await until("the context taken for erased", () => erased.includes(contextId), 5000);
    listening.dispose();
  });

  it("say above the snapshots what comes of choosing one", async () => {
    await connection.request("context/snapshot/create", { contextId: contexts.id as string });
    const parts = { connection, contexts } as unknown as Parts;
    const above: (string | undefined)[] = [];
    for (const command of [restore, previewSnapshot, deleteSnapshot]) {
      const { shown, done } = await quickPickOf(() => command(parts, undefined));
      above.push(shown.placeholder);
      shown.hide();
      await done;
    }
    assert.match(above[0] ?? "", /take the place of the window/);
    assert.match(above[1] ?? "", /are shown/);
    assert.match(above[2] ?? "", /deleted for good/);
  });

  it("search no longer when the search has failed", async () => {
    let asked = 0;
    const request = async () => {
      asked++;
      throw new Failure("cancelled", "Cancelled.");
    };
    const parts = { connection: { request }, contexts } as unknown as Parts;
    const { shown, done } = await quickPickOf(() => search(parts, undefined));
    await done;
    shown.value = "cellar";
    await until("the search", () => asked === 1, 5000);
    await until("no search going on", () => !shown.busy, 2000);
    shown.hide();
  });
});

/** The list that a command shows. */
async function quickPickOf(command: () => Promise<void>) {
  const window = vscode.window as { createQuickPick: () => vscode.QuickPick<vscode.QuickPickItem> };
  const create = window.createQuickPick;
  let shown: vscode.QuickPick<vscode.QuickPickItem> | undefined;
  window.createQuickPick = () => (shown = create());
  try {
    const done = command();
    await until("a list", () => shown !== undefined, 5000);
    return { shown: shown as NonNullable<typeof shown>, done };
  } finally {
    window.createQuickPick = create;
  }
}
