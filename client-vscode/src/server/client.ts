// The only module that loads the language client, which takes its time: the server is started first.
import type { CancellationToken, Extension } from "vscode";
import { LanguageClient, ProgressType } from "vscode-languageclient/node";
import type { Partial } from "../protocol.ts";
import { clientOptions } from "./options.ts";
import { sendable } from "./outgoing.ts";
import type { Child } from "./process.ts";
import { Unanswered } from "./unanswered.ts";

const ANSWERS_SHUTDOWN_MS = 2000;
const ENDS_MS = 2000;

/** One server process and the protocol's client to it. Neither is ever used again after its end. */
export class Client extends LanguageClient {
  readonly #child: Child;
  readonly #unanswered = new Unanswered();

  constructor(extension: Extension<unknown>, child: Child, lost: () => void) {
    const streams = async () => ({ reader: child.stdout, writer: child.stdin });
    super("ullage", "Ullage", streams, clientOptions(extension, lost));
    this.#child = child;
  }

  /** Errors go to the log; what a person is told of them is decided by whoever asked. */
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  /** A request that is settled at the process's end at the latest. */
  async ask<R>(method: string, params: unknown, token?: CancellationToken): Promise<R> {
    const sent = sendable(params);
    // An undefined token would make it an array of two params.
    const answer = token ? this.sendRequest<R>(method, sent, token) : this.sendRequest<R>(method, sent);
    return this.#unanswered.until(answer);
  }

  onPiece(token: string, heard: (piece: Partial) => void) {
    return this.onProgress(new ProgressType<Partial>(), token, heard);
  }

  get serverVersion(): string | undefined {
    return this.initializeResult?.capabilities.experimental?.ullage?.version;
  }

  /** The server asks for them, where this tells it nothing but that they have changed. */
  async settingsChanged(): Promise<void> {
    await this.sendNotification("workspace/didChangeConfiguration", { settings: null });
  }

  /** End a process that has let go of the connection, or will not follow. */
  async kill(): Promise<void> {
    await this.#child.endWithin(0);
    this.#unanswered.giveUp();
  }

  /** End the process for sure: asked to, and where it does not follow, killed. */
  async end(): Promise<void> {
    try {
      await this.stop(ANSWERS_SHUTDOWN_MS);
    } catch {
      this.#child.kill();
    }
    await this.#child.endWithin(ENDS_MS);
    this.#unanswered.giveUp();
  }
}
