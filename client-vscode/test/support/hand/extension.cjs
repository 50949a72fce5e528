/**
 * Runs in VS Code's extension host what a test asks for, as no person at the screen could: commands with arguments, and
 * what the extension under test exports. It listens on loopback and leaves a file `<process id>` with its port in the
 * folder that ULLAGE_TEST_HAND names.
 */
const { mkdirSync, rmSync, writeFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { join } = require("node:path");
const vscode = require("vscode");

exports.activate = (context) => {
  const folder = process.env.ULLAGE_TEST_HAND;
  if (folder === undefined) return;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    response.end(JSON.stringify(await answer(JSON.parse(body))));
  });
  const file = join(folder, String(process.pid));
  server.listen(0, "127.0.0.1", () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, String(server.address().port));
  });
  context.subscriptions.push({
    dispose: () => {
      rmSync(file, { force: true });
      server.close();
    },
  });
};

async function answer({ code, args }) {
  try {
    const asked = new Function(`return (${code})`)();
    return { result: (await asked(vscode, ...args)) ?? null };
  } catch (error) {
    return { error: String(error?.stack ?? error) };
  }
}
