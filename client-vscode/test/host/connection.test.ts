import assert from "node:assert/strict";
import * as vscode from "vscode";
import { Connection } from "../../src/connection.ts";
import { Failure, ProblemError } from "../../src/failures.ts";
import type { Environment } from "../../src/server/environment.ts";
import { until } from "../support/waiting.ts";

/** A server that ends when it is asked for anything, as one with a defect does. */
const MORTAL = `
process.stdin.on("data", (chunk) => {
  if (String(chunk).includes('"context/')) process.exit(1);
  const [, id] = /"id":(\\d+)/.exec(chunk) ?? [];
  if (id === undefined) return;
  const body = '{"jsonrpc":"2.0","id":' + id + ',"result":{"capabilities":{}}}';
  process.stdout.write("Content-Length: " + body.length + "\\r\\n\\r\\n" + body);
});
`;

describe("the connection to the server", () => {
  let connection: Connection;

  function connectTo(server: Environment["server"]): void {
    const environment = {
      server,
      isBroken: async () => false,
      onDidChange: () => new vscode.Disposable(() => {}),
    };
    const extension = vscode.extensions.getExtension("ullage.ullage") as vscode.Extension<unknown>;
    connection = new Connection(extension, environment as unknown as Environment);
  }

  afterEach(() => connection.dispose());

  it("ends with a restart what an earlier restart is setting up", async () => {
    let settingsUp = 0;
    connectTo(async (_, signal) => {
      settingsUp++;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw new ProblemError({ message: "Aborted.", remedies: [] }, true);
    });
    void connection.start();
    for (const times of [2, 3]) {
      void connection.restart();
      await until(`${times} times setting up`, () => settingsUp === times, 5000);
    }
  });

  it("says with an answer that is lost whether another server follows", async () => {
    connectTo(async () => ({ file: process.execPath, args: ["-e", MORTAL] }));
    void connection.start();
    const said: string[] = [];
    for (let ends = 1; ends <= 5; ends++) {
      const asking = connection.request("context/list", {});
      said.push(await asking.then(String, (error) => Failure.of(error).message));
    }
    for (const sentence of said.slice(0, 4)) assert.match(sentence, /is started again.*try once more/);
    assert.match(said[4] ?? "", /is not started again/);
  });
});
