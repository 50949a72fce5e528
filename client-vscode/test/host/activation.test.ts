import assert from "node:assert/strict";
import * as vscode from "vscode";
import { until } from "../support/waiting.ts";

describe("the extension", () => {
  it("is activated by itself once the window is there", async () => {
    const extension = vscode.extensions.getExtension("ullage.ullage");
    await until("the extension active", () => extension?.isActive === true);
  });

  it("registers every command of its manifest", async () => {
    const declared = vscode.extensions.getExtension("ullage.ullage")?.packageJSON.contributes.commands;
    const present = await vscode.commands.getCommands(true);
    for (const { command } of declared) assert.ok(present.includes(command), command);
  });
});
