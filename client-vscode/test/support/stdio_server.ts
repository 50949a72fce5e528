/** The real server over standard input and output, as the extension starts it, without an editor around it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMessageConnection, type MessageConnection, ResponseError } from "vscode-jsonrpc/node";
import { Failure } from "../../src/failures.ts";
import type { Partial, Requests } from "../../src/protocol.ts";
import { Family } from "./processes.ts";
import { PYTHON } from "./product.ts";

export class StdioServer {
  readonly #connection: MessageConnection;
  readonly #end: () => Promise<void>;
  #tokens = 0;

  private constructor(connection: MessageConnection, end: () => Promise<void>) {
    this.#connection = connection;
    this.#end = end;
  }

  static async start(settings: object): Promise<StdioServer> {
    const storage = mkdtempSync(join(tmpdir(), "ullage-stdio-"));
    const server = Family.start(PYTHON, ["-m", "ullage", "serve"], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ULLAGE_STORAGE: storage },
    });
    const { stdin, stdout } = server.child;
    if (!stdout || !stdin) throw new Error("The server has no standard input and output.");
    const connection = createMessageConnection(stdout, stdin);
    connection.listen();
    await connection.sendRequest("initialize", {
      capabilities: {},
      processId: null,
      rootUri: null,
      initializationOptions: settings,
    });
    await connection.sendNotification("initialized", {});
    return new StdioServer(connection, async () => {
      connection.dispose();
      await server.end();
      rmSync(storage, { recursive: true, force: true });
    });
  }

  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]["params"],
  ): Promise<Requests[M]["result"]> {
    try {
      return await this.#connection.sendRequest(method, params);
    } catch (error) {
      throw error instanceof ResponseError ? Failure.of(error) : error;
    }
  }

  async stream<M extends "context/chat" | "context/complete">(
    method: M,
    params: Omit<Requests[M]["params"], "partialResultToken">,
    onPiece: (piece: Partial) => void,
  ): Promise<Requests[M]["result"]> {
    const partialResultToken = `test-${++this.#tokens}`;
    const listening = this.#connection.onNotification("$/progress", ({ token, value }) => {
      if (token === partialResultToken) onPiece(value);
    });
    try {
      return await this.request(method, { ...params, partialResultToken } as Requests[M]["params"]);
    } finally {
      listening.dispose();
    }
  }

  stop(): Promise<void> {
    return this.#end();
  }
}
