import assert from "node:assert/strict";
import { test } from "node:test";
import { LINKED, tooltip } from "../../src/tooltip.ts";
import { statusOf } from "./status.ts";

test("the hover holds the whole status", () => {
  const shown = tooltip(statusOf({}));
  for (const part of [
    "**Ullage · main**",
    "13,107 / 32,768 (40 %), exact, by the model's vocabulary",
    "qwen3:8b on ollama",
    "6.2/8 GB, 1.8 GB free",
    "1.0 GB, q8_0 assumed; the size follows memory",
    "12 in the window, about 9 turns until room is made",
    "by itself from 80 %",
  ]) {
    assert.ok(shown.includes(part), part);
  }
});

test("every command that may be run from the hover is linked in it, and no other", () => {
  const linked = [...tooltip(statusOf({})).matchAll(/\(command:([\w.]+)\)/g)].map(([, command]) => command);
  assert.deepEqual(linked, Object.keys(LINKED));
  assert.deepEqual(
    linked,
    ["compress", "snapshot", "setSize", "switchContext", "openChat"].map((name) => `ullage.${name}`),
  );
});

test("a name can bring no link and no icon of its own", () => {
  const name = "[x](command:workbench.action.quit) $(bug)";
  const { context } = statusOf({});
  const shown = tooltip(statusOf({ status: { context: { ...context, name } } }));
  assert.ok(!/(?<!\\)\]\(command:workbench/.test(shown));
  assert.ok(!shown.includes(" $(bug)"));
});

test("what is not known is said to be so", () => {
  const unknown = statusOf({
    memory: null,
    usage: { limit: null, fraction: null, turnsLeft: null },
    status: {
      model: { name: null, provider: null, loaded: false },
      kvCache: { type: null, typeSource: "assumed", bytes: null },
    },
  });
  const shown = tooltip(unknown);
  for (const part of ["the window's size is not known", "none answers yet", "| not known |"]) {
    assert.ok(shown.includes(part), part);
  }
});

test("a full window says what comes next", () => {
  const full = (enabled: boolean) =>
    tooltip(statusOf({ status: { warning: "critical", autoCompress: { enabled, threshold: 0.8 } } }));
  assert.ok(full(true).includes("room is made before the next answer"));
  assert.ok(full(false).includes("compress or clear it, or choose another size"));
});

test("compressing is shown while it lasts", () => {
  assert.ok(tooltip(statusOf({ status: { compressing: true } })).includes("$(loading~spin) compressing"));
  assert.ok(!tooltip(statusOf({})).includes("compressing"));
});
