/** From the file that people install to the first answer. What is downloaded comes from the Python package index. */

import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { closeBrowser, keepPictures } from "../support/browser.ts";
import { CodeServer } from "../support/code_server.ts";
import { removeFolder, run, temporaryFolder } from "../support/processes.ts";
import { PYTHON, vsix } from "../support/product.ts";
import { Workbench } from "../support/workbench.ts";

const DOWNLOADING_MS = 300_000;
const programs = temporaryFolder("ullage-programs");
let editor: CodeServer;

/** On the PATH: the Python that the repository's environment was made with, and what every system has. */
before(async () => {
  const python = await run(PYTHON, ["-I", "-c", "import sys; print(sys._base_executable)"]);
  symlinkSync(python.trim(), join(programs, "python3"));
  editor = await CodeServer.start({ vsix: vsix(), env: { PATH: `${programs}:/usr/bin:/bin` } });
});
afterEach(keepPictures);
after(async () => {
  await closeBrowser();
  await editor?.stop();
  removeFolder(programs);
});

test("with Python alone, one click brings a model and its first answer, and no setting is touched", async () => {
  const path = editor.folder("project", { "notes.md": "# Notes\n" });
  const window = await Workbench.open(editor, { path });
  const step = window.page.locator(".getting-started-step").filter({ hasText: "Find a model server" });
  assert.match((await step.textContent()) ?? "", /a small model \(93 MB, with a 34 MB engine\)/);
  await step.getByText("Use the Small Built-in Model").click();
  await window.statusItem(/^[○◔]? ?\d+\/\d+k/).waitFor({ timeout: DOWNLOADING_MS });
  await window.chat.start();
  assert.notEqual(await window.chat.ask("@ullage Say hello in one sentence."), "");
  const hover = await window.tooltip("ullage.status");
  assert.match((await hover.textContent()) ?? "", /SmolLM2-135M-Instruct/);
  await window.screenshot("first-answer");
});
