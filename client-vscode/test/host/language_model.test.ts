import assert from "node:assert/strict";
import * as vscode from "vscode";
import { until } from "../support/waiting.ts";

const WINDOW = 8192;

describe("the language model that other extensions get", () => {
  let model: vscode.LanguageModelChat;

  before(async () => {
    await vscode.extensions.getExtension("ullage.ullage")?.activate();
    await until("a model", async () => {
      const [found] = await vscode.lm.selectChatModels({ vendor: "ullage" });
      if (found !== undefined) model = found;
      return found !== undefined;
    });
  });

  it("leaves room for the answer in the window that it tells", () => {
    assert.equal(model.id.includes("stub-model"), true, model.id);
    assert.ok(model.maxInputTokens > 0 && model.maxInputTokens < WINDOW, String(model.maxInputTokens));
  });

  it("answers in pieces", async () => {
    const question = [vscode.LanguageModelChatMessage.User("What did you hear?")];
    const answer = await model.sendRequest(question);
    const pieces: string[] = [];
    for await (const piece of answer.text) pieces.push(piece);
    assert.equal(pieces.join(""), "I heard you.");
  });

  it("counts tokens as the model server does", async () => {
    assert.equal(await model.countTokens("one two three"), 5);
  });

  it("takes a text that was cut in the middle of a character", async () => {
    assert.equal(await model.countTokens("one two\ud83d"), await model.countTokens("one two\ufffd"));
  });

  it("says in a sentence what does not fit, and sends nothing", async () => {
    const question = [vscode.LanguageModelChatMessage.User("word ".repeat(WINDOW))];
    const asking = async () => {
      for await (const _ of (await model.sendRequest(question)).text);
    };
    await assert.rejects(asking, /needs 16,\d+ tokens.*window has 8,192/);
  });
});
