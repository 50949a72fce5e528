// Which context the person is in: the one chosen for the workspace folder of the active editor.
import * as vscode from "vscode";
import type { Connection } from "./connection.ts";
import { Failure } from "./failures.ts";
import type { Context, ContextStatus } from "./protocol.ts";

/** Where it is kept which context was chosen in a folder. Not by workspace: a folder that becomes one of several, which
 * is another workspace to VS Code, keeps its choice. */
const CHOSEN = "ullage.chosenContexts";

type Chosen = Record<string, string>;

export class Contexts implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.#changed.event;
  readonly #erased = new vscode.EventEmitter<string>();
  readonly onDidErase = this.#erased.event;
  readonly #connection: Connection;
  readonly #memento: vscode.Memento;
  readonly #statuses = new Map<string, ContextStatus>();
  /** The context of each folder's URI, as far as it was opened on the server that runs now. */
  readonly #current = new Map<string, string>();
  readonly #opening = new Map<string, Promise<Context>>();
  /** The switches that were asked for here and have no answer yet. */
  readonly #switching = new Set<{ readonly contextId: string }>();
  readonly #stuck = new Set<string>();
  readonly #subscriptions: vscode.Disposable;
  #folder: vscode.WorkspaceFolder | undefined;
  #failure: Failure | undefined;

  constructor(connection: Connection, memento: vscode.Memento) {
    this.#connection = connection;
    this.#memento = memento;
    this.#subscriptions = vscode.Disposable.from(
      vscode.window.onDidChangeActiveTextEditor(() => this.#follow()),
      vscode.window.onDidChangeActiveNotebookEditor(() => this.#follow()),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.#follow()),
      connection.onDidChangeHealth((health) =>
        health.state === "running" ? this.#follow(true) : this.#forgetServer(),
      ),
      connection.on("context/statusChanged", (status) => this.#take(status)),
      connection.on("context/event", ({ kind, contextId }) => {
        if (kind === "switched" && contextId) this.#switchedElsewhere(contextId);
      }),
    );
    this.#follow();
  }

  get folder(): vscode.WorkspaceFolder | undefined {
    return this.#folder;
  }

  /** Of the folder's context; undefined while it is being opened. */
  get id(): string | undefined {
    return this.#folder && this.#current.get(this.#folder.uri.toString());
  }

  get status(): ContextStatus | undefined {
    return this.id === undefined ? undefined : this.#statuses.get(this.id);
  }

  /** Why the folder's context could not be opened, as long as it could not. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  statusOf(contextId: string): ContextStatus | undefined {
    return this.#statuses.get(contextId);
  }

  /** Whether making room was tried and was not enough, so that the person has to do something. */
  isStuck(contextId: string): boolean {
    return this.#stuck.has(contextId);
  }

  /** The current folder's context, opened where it isn't. */
  async ensure(): Promise<Context> {
    if (!this.#folder) {
      throw new Failure("noFolder", "No folder is open. Open one, and its conversation is kept with it.");
    }
    const status = this.status;
    return status ? status.context : this.#open(this.#folder.uri.toString());
  }

  /** Goes on in another context, which is then the folder's own. */
  async switchTo(contextId: string): Promise<Context> {
    const folder = this.#folder; // the answer is this folder's, wherever the person is by then
    const context = await this.#switch(contextId);
    if (folder) await this.#choose(context, folder.uri.toString());
    return context;
  }

  async all(): Promise<Context[]> {
    return (await this.#connection.request("context/list", {})).contexts;
  }

  /** To be told of a context that was erased: its folder goes on in the main one. */
  async erased(contextId: string): Promise<void> {
    this.#statuses.delete(contextId);
    for (const [folder, id] of this.#current) if (id === contextId) this.#current.delete(folder);
    const kept = Object.entries(this.#chosen).filter(([, id]) => id !== contextId);
    await this.#memento.update(CHOSEN, Object.fromEntries(kept));
    this.#erased.fire(contextId);
    this.#follow(true);
  }

  /** To be told of a context's new name: under another than "main" it is its folder's only if that is remembered. */
  async renamed({ id, name, workspaceUri }: Context, before: string): Promise<void> {
    const folder = vscode.Uri.parse(workspaceUri).toString();
    const isItsOwn = this.#current.get(folder) === id || (before === "main" && !this.#chosen[folder]);
    if (name !== "main" && isItsOwn) await this.#remember(folder, id);
  }

  /** To be told of what failed in a context: another window may have erased it, and where no room can be made, the
   * person has to act. */
  failed(contextId: string, error: unknown): void {
    const { kind } = Failure.of(error);
    if (kind === "unknownContext") void this.erased(contextId);
    if (!["cannotReduce", "contextOverflow"].includes(kind)) return;
    this.#stuck.add(contextId);
    this.#changed.fire();
  }

  dispose(): void {
    this.#subscriptions.dispose();
    this.#changed.dispose();
    this.#erased.dispose();
  }

  get #chosen(): Chosen {
    return this.#memento.get<Chosen>(CHOSEN, {});
  }

  /** An editor outside of every folder, such as the settings, changes nothing. */
  #follow(anew = false): void {
    const folders = vscode.workspace.workspaceFolders ?? [];
    const uri =
      vscode.window.activeTextEditor?.document.uri ?? vscode.window.activeNotebookEditor?.notebook.uri;
    const before = this.#folder;
    this.#folder =
      (uri && vscode.workspace.getWorkspaceFolder(uri)) ??
      folders.find((folder) => folder.uri.toString() === before?.uri.toString()) ??
      folders[0];
    const moved = this.#folder?.uri.toString() !== before?.uri.toString();
    if (moved) this.#failure = undefined;
    if (moved || anew) {
      this.#changed.fire();
      void this.#activate();
    }
  }

  /** Tells the server which context requests without an id mean from now on. */
  async #activate(): Promise<void> {
    const key = this.#folder?.uri.toString();
    if (key === undefined || this.#connection.health.state !== "running") return;
    const contextId = this.#current.get(key);
    try {
      if (contextId === undefined) await this.#open(key);
      else await this.#switch(contextId);
    } catch (error) {
      if (contextId !== undefined && Failure.of(error).kind === "unknownContext")
        return this.erased(contextId);
      if (this.#folder?.uri.toString() !== key) return;
      this.#failure = Failure.of(error);
      this.#changed.fire();
    }
  }

  #open(folder: string): Promise<Context> {
    const running = this.#opening.get(folder);
    if (running) return running;
    const opening = this.#openNow(folder).finally(() => {
      if (this.#opening.get(folder) === opening) this.#opening.delete(folder);
    });
    this.#opening.set(folder, opening);
    return opening;
  }

  async #openNow(folder: string): Promise<Context> {
    const context =
      (await this.#chosenBefore(folder)) ??
      (await this.#connection.request("context/open", { workspaceUri: folder }));
    this.#goOn(folder, context.id);
    void this.#refresh(context.id);
    return context;
  }

  /** The context that the person chose in this folder; undefined where none was, or it was erased since. */
  async #chosenBefore(folder: string): Promise<Context | undefined> {
    const contextId = this.#chosen[folder];
    if (contextId === undefined) return undefined;
    try {
      return await this.#switch(contextId);
    } catch (error) {
      if (Failure.of(error).kind === "unknownContext") return undefined;
      throw error;
    }
  }

  /** The server tells every change from the opening on; this looks for the model as well. */
  async #refresh(contextId: string): Promise<void> {
    try {
      this.#take(await this.#connection.request("context/status", { contextId }));
    } catch {
      // What the server tells by itself stays shown; the next thing that the person asks for says what is wrong.
    }
  }

  #take(status: ContextStatus): void {
    this.#statuses.set(status.context.id, status);
    this.#adopt(status.context);
    if (status.warning !== "critical") this.#stuck.delete(status.context.id);
    this.#changed.fire();
  }

  /** The server opens the main context of every folder unasked, and so it is known before its folder is looked at. */
  #adopt({ id, name, workspaceUri }: Context): void {
    const uri = vscode.Uri.parse(workspaceUri).toString();
    const isOpen = vscode.workspace.workspaceFolders?.some((folder) => folder.uri.toString() === uri);
    if (name === "main" && isOpen && !this.#current.has(uri) && !this.#chosen[uri])
      this.#current.set(uri, id);
  }

  /** The server tells of a switch before it answers, so that one of ours is known by then. */
  async #switch(contextId: string): Promise<Context> {
    const asked = { contextId };
    this.#switching.add(asked);
    try {
      return (await this.#connection.request("context/switch", asked)).context;
    } finally {
      this.#switching.delete(asked);
    }
  }

  async #choose(context: Context, folder: string): Promise<void> {
    this.#goOn(folder, context.id);
    await this.#remember(folder, context.id);
    await this.#refresh(context.id);
  }

  #goOn(folder: string, contextId: string): void {
    this.#current.set(folder, contextId);
    if (this.#folder?.uri.toString() === folder) this.#failure = undefined;
    this.#changed.fire();
  }

  #remember(folder: string, contextId: string): Thenable<void> {
    return this.#memento.update(CHOSEN, { ...this.#chosen, [folder]: contextId });
  }

  /** Somebody typed `/context switch`, and means the folder that they are in. */
  #switchedElsewhere(contextId: string): void {
    const isOurs = [...this.#switching].some((asked) => asked.contextId === contextId);
    if (this.#folder && !isOurs) void this.switchTo(contextId).catch(() => undefined);
  }

  #forgetServer(): void {
    this.#current.clear();
    this.#opening.clear();
    this.#changed.fire();
  }
}
