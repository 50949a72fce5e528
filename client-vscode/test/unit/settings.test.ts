import assert from "node:assert/strict";
import { test } from "node:test";
import { chosenSettings, type Inspected, serverSettings } from "../../src/server/settings.ts";

function chosen(values: Record<string, Inspected & { defaultValue?: unknown }>) {
  return chosenSettings(Object.keys(values), (key) => values[key]);
}

test("what nobody has set is not sent, whatever its default", () => {
  assert.deepEqual(chosen({ "ullage.context.targetSize": { defaultValue: 16384 } }), {});
});

test("settings are sent as a tree, without the section's own name", () => {
  const tree = chosen({
    "ullage.context.compression.target": { globalValue: 0.4 },
    "ullage.context.autoSize": { globalValue: false },
    "ullage.storageDirectory": { globalValue: "/kept" },
  });
  assert.deepEqual(tree, {
    context: { compression: { target: 0.4 }, autoSize: false },
    storageDirectory: "/kept",
  });
});

test("the nearer scope counts", () => {
  const tree = chosen({
    "ullage.a": { globalValue: 1, workspaceValue: 2 },
    "ullage.b": { globalValue: 1, workspaceValue: 2, workspaceFolderValue: 3 },
  });
  assert.deepEqual(tree, { a: 2, b: 3 });
});

test("a null that a person has set is sent: it means something", () => {
  assert.deepEqual(chosen({ "ullage.providers.openai.url": { globalValue: null } }), {
    providers: { openai: { url: null } },
  });
});

test("a value of the wrong type is sent as it is, for the server to name it", () => {
  assert.deepEqual(chosen({ "ullage.context.targetSize": { workspaceValue: "much" } }), {
    context: { targetSize: "much" },
  });
});

test("the extension's own settings are not the server's", () => {
  const properties = { "ullage.extension.server": {}, "ullage.context.maxSize": {} };
  assert.deepEqual(serverSettings({ contributes: { configuration: [{ properties }] } }), [
    "ullage.context.maxSize",
  ]);
});
