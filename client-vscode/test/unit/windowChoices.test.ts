import assert from "node:assert/strict";
import { test } from "node:test";
import { information, sizesOf } from "../../src/chat/modelInformation.ts";
import { WindowChoices } from "../../src/chat/windowChoices.ts";
import type { Connection } from "../../src/connection.ts";
import { Failure, type Kind } from "../../src/failures.ts";
import type { Model } from "../../src/protocol.ts";
import { statusOf } from "./status.ts";

const MODEL: Model = {
  name: "qwen3:8b",
  provider: "ollama",
  loaded: true,
  bytes: null,
  contextLength: 32768,
  allocatedContext: 8192,
};
const SHOWN = information(MODEL, sizesOf(MODEL), 1024);

/** Choices in a context that has a model, and the sizes that the server was asked for; `fails` is how it refuses. */
function choices(state: { model: string; fails?: Kind | undefined }) {
  const asked: number[] = [];
  const status = () =>
    statusOf({ status: { model: { name: state.model, provider: "ollama", loaded: true } } });
  const contexts = {
    ensure: async () => status().context,
    statusOf: status,
    get status() {
      return status();
    },
  };
  const request = async (_: string, { tokens }: { tokens: number }) => {
    asked.push(tokens);
    if (state.fails) throw new Failure(state.fails, "Not now.");
    return { tokens, explanation: "" };
  };
  return { asked, choices: new WindowChoices({ request } as unknown as Connection, contexts) };
}

test("a chosen size is asked for once", async () => {
  const { asked, choices: chosen } = choices({ model: MODEL.name });
  assert.equal(await chosen.apply(SHOWN, 16384), undefined);
  assert.equal(await chosen.apply(SHOWN, 16384), undefined);
  assert.deepEqual(asked, [16384]);
});

test("a size that was chosen for another model than the context's is given once the model is the context's", async () => {
  const state = { model: "another" };
  const { asked, choices: chosen } = choices(state);
  assert.match((await chosen.apply(SHOWN, 16384)) ?? "", /Choose qwen3:8b for it first/);
  assert.equal(await chosen.apply(SHOWN, 16384), undefined, "said twice");
  state.model = MODEL.name;
  assert.equal(await chosen.apply(SHOWN, 16384), undefined);
  assert.deepEqual(asked, [16384]);
});

test("a size that could not be asked for is asked for again with the next question", async () => {
  for (const fails of ["serverLost", "noFolder", "providerUnavailable", "contextBusy"] as const) {
    const state: { model: string; fails?: Kind | undefined } = { model: MODEL.name, fails };
    const { asked, choices: chosen } = choices(state);
    assert.match((await chosen.apply(SHOWN, 16384)) ?? "", /keeps its size/);
    state.fails = undefined;
    assert.equal(await chosen.apply(SHOWN, 16384), undefined);
    assert.deepEqual(asked, [16384, 16384], fails);
  }
});

test("a size that can't be had is not asked for again", async () => {
  for (const fails of ["insufficientMemory", "notSupported"] as const) {
    const { asked, choices: chosen } = choices({ model: MODEL.name, fails });
    assert.match((await chosen.apply(SHOWN, 16384)) ?? "", /keeps its size/);
    assert.equal(await chosen.apply(SHOWN, 16384), undefined);
    assert.deepEqual(asked, [16384], fails);
  }
});
