import assert from "node:assert/strict";
import { test } from "node:test";
import { choicesOf, information, nameable, short, sizesOf } from "../../src/chat/modelInformation.ts";
import type { Model, SizingReport } from "../../src/protocol.ts";

const MODEL: Model = {
  name: "qwen3:8b",
  provider: "ollama",
  loaded: true,
  contextLength: 131072,
  allocatedContext: 32768,
  bytes: null,
};

function report(tokens: number, limitedBy: SizingReport["limitedBy"] = "memory"): SizingReport {
  return { tokens, limitedBy } as SizingReport;
}

test("a model says what holds it and how much of its window it has", () => {
  const { name, family, version, detail } = information(MODEL, sizesOf(MODEL), 1024);
  assert.deepEqual([name, family, version, detail], ["qwen3:8b", "qwen3", "8b", "Ollama · 32k of 128k"]);
});

test("a model that rests has the size that it would get", () => {
  const model = { ...MODEL, loaded: false, allocatedContext: null };
  const { detail, maxInputTokens } = information(model, sizesOf(model, report(16384)), 1024);
  assert.deepEqual([detail, maxInputTokens], ["Ollama · 16k of 128k, not loaded", 15360]);
});

test("the answer has its room inside of the window", () => {
  const { maxInputTokens, maxOutputTokens } = information(MODEL, sizesOf(MODEL), 1024);
  assert.deepEqual([maxInputTokens, maxOutputTokens], [31744, 1024]);
});

test("in a small window the answer gets a quarter", () => {
  const model = { ...MODEL, allocatedContext: 2048 };
  assert.equal(information(model, sizesOf(model), 1024).maxOutputTokens, 512);
});

test("a window that nobody knows is taken for a small one", () => {
  assert.equal(sizesOf({ ...MODEL, contextLength: null, allocatedContext: null }).present, 4096);
});

test("the sizes to choose from end at what fits", () => {
  assert.deepEqual(choicesOf(sizesOf(MODEL, undefined, report(50000))), [4096, 8192, 16384, 32768, 50000]);
});

test("a present size of the person's own stays a choice", () => {
  const sizes = sizesOf({ ...MODEL, allocatedContext: 6144 }, undefined, report(8192));
  assert.deepEqual(choicesOf(sizes), [4096, 6144, 8192]);
});

for (const limitedBy of ["provider", "minimum", "target"] as const) {
  test(`no choice is offered where the largest size is the ${limitedBy}'s`, () => {
    assert.deepEqual(choicesOf(sizesOf(MODEL, undefined, report(50000, limitedBy))), []);
  });
}

test("the choice stands at the size that the model has", () => {
  const shown = information(MODEL, sizesOf(MODEL, undefined, report(65536)), 1024).configurationSchema;
  const { contextSize } = (shown as { properties: { contextSize: { default: number; enum: number[] } } })
    .properties;
  assert.deepEqual([contextSize.default, contextSize.enum.at(-1)], [32768, 65536]);
});

test("without a choice there is no schema for one", () => {
  assert.equal("configurationSchema" in information(MODEL, sizesOf(MODEL), 1024), false);
});

test("of two models of one name the first is shown, which is the one that answers", () => {
  const other = { ...MODEL, provider: "llamacpp" };
  assert.deepEqual(
    nameable([MODEL, other, { ...MODEL, name: "b" }]).map(({ provider, name }) => [provider, name]),
    [
      ["ollama", "qwen3:8b"],
      ["ollama", "b"],
    ],
  );
});

test("sizes are named in the unit in which they are round", () => {
  assert.deepEqual([512, 8192, 12544, 32000, 131072].map(short), ["512", "8k", "12.3k", "32k", "128k"]);
});
