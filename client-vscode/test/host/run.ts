/** The tests of this folder, which run in VS Code's extension host, each told as one of this process's own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInExtensionHost } from "../support/extension_host.ts";
import { Machine } from "../support/machine.ts";

test("in the extension host", async (context) => {
  const machine = await Machine.start({
    vsix: undefined,
    hand: false,
    vscodeOptions: ["enable-smoke-test-driver"],
  });
  context.after(() => machine.stop());
  const folder = machine.editor.folder("project", { "notes.md": "# Notes\n" });
  const { code, results } = await runInExtensionHost(machine.editor, folder);
  for (const { title, state, error } of results) {
    await context.test(title, { skip: state === "skipped" }, () => {
      if (state === "failed") throw new Error(error ?? "failed");
    });
  }
  assert.ok(results.length > 0, "no test was run");
  assert.equal(code, results.some(({ state }) => state === "failed") ? 1 : 0);
});
