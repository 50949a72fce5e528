// The server's life as the rest of the extension sees it: one process at a time, started again when it crashes.
import * as vscode from "vscode";
import { Failure, type Problem, ProblemError, RESTART, SHOW_LOG, tell } from "./failures.ts";
import { log } from "./log.ts";
import type { Notifications, Partial, Requests } from "./protocol.ts";
import type { Client } from "./server/client.ts";
import { Crashes } from "./server/crashes.ts";
import type { Environment } from "./server/environment.ts";
import { Child } from "./server/process.ts";

export type Health =
  | { state: "off"; reason: string }
  | { state: "preparing"; step: string }
  | { state: "starting" }
  | { state: "running" }
  | { state: "failed"; problem: Problem };

type Method = keyof Requests;
type Notification = keyof Notifications;

const UNTRUSTED = "Ullage starts nothing until you trust this workspace.";
const ANSWERS_INITIALIZE_MS = 30_000;

const GIVEN_UP: Problem = {
  message: "The Ullage server ended five times in three minutes and is not started again. Its log says why.",
  remedies: [SHOW_LOG, RESTART],
};

export class Connection implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Health>();
  readonly onDidChangeHealth = this.#changed.event;
  readonly #heard = {
    "context/statusChanged": new vscode.EventEmitter<Notifications["context/statusChanged"]>(),
    "context/lowMemory": new vscode.EventEmitter<Notifications["context/lowMemory"]>(),
    "context/event": new vscode.EventEmitter<Notifications["context/event"]>(),
  };
  readonly #extension: vscode.Extension<unknown>;
  readonly #environment: Environment;
  readonly #crashes = new Crashes();
  readonly #subscriptions: vscode.Disposable;
  #health: Health = { state: "starting" };
  #client: Client | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #ending: Promise<void> = Promise.resolve();
  #abort = new AbortController();
  #tokens = 0;
  #disposed = false;

  constructor(extension: vscode.Extension<unknown>, environment: Environment) {
    this.#extension = extension;
    this.#environment = environment;
    this.#subscriptions = vscode.Disposable.from(
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.start()),
      vscode.workspace.onDidChangeConfiguration((event) => this.#configured(event)),
      environment.onDidChange(() => this.restart()),
    );
  }

  get health(): Health {
    return this.#health;
  }

  get serverVersion(): string | undefined {
    return this.#client?.serverVersion;
  }

  /** Start the server where none runs. Never rejects: how it went is the health. */
  start(): Promise<void> {
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  /** End the server, and whatever is being prepared for it, and start it anew. */
  async restart(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
    });
    await this.#stopping;
    await this.start();
  }

  /** Waits while the server is starting; rejects with a `Failure`. */
  async request<M extends Method>(
    method: M,
    params: Requests[M]["params"],
    token?: vscode.CancellationToken,
  ): Promise<Requests[M]["result"]> {
    const client = await this.#running(token);
    return this.#send(client, method, params, token);
  }

  /** A request whose answer comes in pieces; the result holds the whole of it all the same. */
  async stream<M extends "context/chat" | "context/complete">(
    method: M,
    params: Omit<Requests[M]["params"], "partialResultToken">,
    onPiece: (piece: Partial) => void,
    token?: vscode.CancellationToken,
  ): Promise<Requests[M]["result"]> {
    const client = await this.#running(token);
    const partialResultToken = `ullage-${++this.#tokens}`;
    const listening = client.onPiece(partialResultToken, onPiece);
    try {
      return await this.#send(client, method, { ...params, partialResultToken }, token);
    } finally {
      listening.dispose();
    }
  }

  /** Hear a notification, also from every server that is started later. */
  on<N extends Notification>(method: N, listener: (params: Notifications[N]) => void): vscode.Disposable {
    return (this.#heard[method] as vscode.EventEmitter<Notifications[N]>).event(listener);
  }

  /** End the server for good. */
  async end(): Promise<void> {
    this.#disposed = true;
    this.#abort.abort();
    await this.#starting;
    await this.#endClient();
  }

  dispose(): void {
    this.#subscriptions.dispose();
    void this.end();
  }

  async #send<R>(
    client: Client,
    method: Method,
    params: unknown,
    token?: vscode.CancellationToken,
  ): Promise<R> {
    try {
      return await client.ask<R>(method, params, token);
    } catch (error) {
      const failure = Failure.of(error);
      if (["internal", "invalidParams"].includes(failure.kind))
        log.error(`${method}:`, failure.data.reason ?? failure.message);
      if (failure.kind === "internal") void this.#mend();
      if (failure.kind !== "serverLost") throw failure;
      // Noticed here before the client tells: whoever tries again at once shall wait for the next server.
      void this.#lost(client);
      throw this.#health.state === "failed"
        ? new Failure("serverLost", this.#health.problem.message)
        : failure;
    }
  }

  /** The client, as soon as there is one that can be asked. */
  async #running(token?: vscode.CancellationToken): Promise<Client> {
    for (;;) {
      if (token?.isCancellationRequested) throw new Failure("cancelled", "Cancelled.");
      const health = this.#health;
      if (health.state === "running" && this.#client) return this.#client;
      if (health.state === "off") throw new Failure("noServer", health.reason);
      if (health.state === "failed") throw new Failure("noServer", health.problem.message);
      await this.#nextChange(token);
    }
  }

  #nextChange(token?: vscode.CancellationToken): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        waiting.dispose();
        resolve();
      };
      const waiting = vscode.Disposable.from(
        ...[this.onDidChangeHealth(done), token?.onCancellationRequested(done)].filter(
          (each) => each !== undefined,
        ),
      );
    });
  }

  #become(health: Health): void {
    this.#health = health;
    this.#changed.fire(health);
  }

  async #start(): Promise<void> {
    if (this.#client || this.#disposed) return;
    if (!vscode.workspace.isTrusted) return this.#become({ state: "off", reason: UNTRUSTED });
    if (this.#health.state !== "starting") this.#become({ state: "starting" });
    this.#abort = new AbortController();
    let mayMend = true;
    while (!this.#abort.signal.aborted) {
      try {
        await this.#startOnce();
        return;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        log.error("The server could not be started:", error);
        if (error instanceof ProblemError) return this.#giveUp(error.problem, error.known);
        const refusal = Failure.of(error);
        if (refusal.data.kind)
          return this.#giveUp({ message: refusal.message, remedies: [RESTART, SHOW_LOG] });
        if (mayMend && (await this.#isBroken())) mayMend = false;
        else if (this.#crashes.add(Date.now())) return this.#giveUp(GIVEN_UP);
      }
    }
  }

  async #startOnce(): Promise<void> {
    const { signal } = this.#abort;
    const report = (step: string) => this.#become({ state: "preparing", step });
    const command = await this.#environment.server(report, signal);
    await this.#ending; // never two at a time
    signal.throwIfAborted();
    if (this.#health.state !== "starting") this.#become({ state: "starting" });
    const began = performance.now();
    const child = await Child.start(command, (line) => log.warn(line));
    const { Client } = await import("./server/client.ts");
    const client: Client = new Client(this.#extension, child, () => this.#lost(client));
    for (const method of Object.keys(this.#heard) as Notification[]) {
      client.onNotification(method, (params) => this.#heard[method].fire(params));
    }
    const late = setTimeout(() => child.kill(), ANSWERS_INITIALIZE_MS);
    const abort = () => child.kill();
    signal.addEventListener("abort", abort);
    try {
      await client.start();
    } catch (error) {
      await child.endWithin(0);
      throw error;
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", abort);
    }
    this.#client = client;
    log.info(
      `Server ${client.serverVersion} answers, ${Math.round(performance.now() - began)} ms after its start.`,
    );
    this.#become({ state: "running" });
  }

  #giveUp(problem: Problem, known = false): void {
    this.#become({ state: "failed", problem });
    if (!known) void tell(problem);
  }

  /** The server ended by itself. */
  async #lost(client: Client): Promise<void> {
    if (this.#client !== client) return; // it is being started or ended, and whoever does that sees it
    this.#client = undefined;
    log.error("The server ended without having been asked to.");
    this.#ending = client.kill();
    // Whoever was waiting for an answer is told at once whether another server follows.
    if (this.#crashes.add(Date.now())) return this.#giveUp(GIVEN_UP);
    this.#become({ state: "starting" });
    await this.#ending;
    await this.start();
  }

  /** What looks like a defect of the server may be a package of it that is damaged. */
  async #mend(): Promise<void> {
    if (await this.#isBroken()) await this.restart();
  }

  /** What can't even be looked at, or thrown away, is not mended by another start. */
  async #isBroken(): Promise<boolean> {
    try {
      return await this.#environment.isBroken();
    } catch (error) {
      log.warn("The server's environment could not be examined:", error);
      return false;
    }
  }

  async #stop(): Promise<void> {
    this.#abort.abort();
    await this.#starting;
    this.#crashes.forget();
    if (!this.#disposed) this.#become({ state: "starting" });
    await this.#endClient();
  }

  async #endClient(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client) this.#ending = client.end();
    await this.#ending;
  }

  #configured(event: vscode.ConfigurationChangeEvent): void {
    if (event.affectsConfiguration("ullage.extension")) void this.restart();
    else if (event.affectsConfiguration("ullage"))
      void this.#client
        ?.settingsChanged()
        .catch((error) => log.warn("The server was not told of the settings:", error));
  }
}
