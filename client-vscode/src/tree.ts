// The view in the side bar: contexts with how full they are, and under each its snapshots.
import * as vscode from "vscode";
import type { Target } from "./commands/action.ts";
import type { Connection } from "./connection.ts";
import type { Contexts } from "./contexts.ts";
import { bar, moment, oneLine, percent, shortWindow, snapshotFigures } from "./figures.ts";
import { log } from "./log.ts";
import type { Context, SnapshotInfo } from "./protocol.ts";

/** Of a context or a snapshot. The same object stands for it as long as it is there, so that rows are kept. */
type Row = Target & { context: Context; shown?: string; snapshots?: Promise<SnapshotInfo[]> };

export class Tree implements vscode.TreeDataProvider<Row>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Row | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #connection: Connection;
  readonly #contexts: Contexts;
  readonly #rows = new Map<string, Row>();
  readonly #subscriptions: vscode.Disposable;

  constructor(connection: Connection, contexts: Contexts) {
    this.#connection = connection;
    this.#contexts = contexts;
    this.#subscriptions = vscode.Disposable.from(
      this.#changed,
      vscode.window.createTreeView("ullage.contexts", { treeDataProvider: this }),
      vscode.commands.registerCommand("ullage.refresh", () => this.#reload()),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.#reload()),
      connection.onDidChangeHealth(({ state }) => ["running", "failed"].includes(state) && this.#reload()),
      contexts.onDidChange(() => this.#update()),
      contexts.onDidErase(() => this.#reload()),
      connection.on("context/event", ({ kind, contextId }) => {
        if (kind === "snapshotCreated" && contextId) this.#reloadSnapshots(contextId);
      }),
    );
  }

  async getChildren(row?: Row): Promise<Row[]> {
    try {
      return row ? await this.#snapshotsOf(row) : await this.#all();
    } catch (error) {
      log.warn("The view could not be filled:", error);
      return [];
    }
  }

  getTreeItem(row: Row): vscode.TreeItem {
    return row.snapshot ? snapshotItem(row, row.snapshot) : this.#contextItem(row);
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  async #all(): Promise<Row[]> {
    if (this.#connection.health.state !== "running") return [];
    const all = await this.#contexts.all();
    const known = new Set(all.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!known.has(id)) this.#rows.delete(id);
    const rows = all.map((context) => {
      const row = this.#rows.get(context.id) ?? { contextId: context.id, context };
      this.#rows.set(context.id, Object.assign(row, { context }));
      return row;
    });
    return rows.sort(
      (a, b) => place(a.context) - place(b.context) || b.context.lastUsedAt - a.context.lastUsedAt,
    );
  }

  #snapshotsOf(row: Row): Promise<Row[]> {
    const listed = row.snapshots ?? this.#list(row);
    const { contextId, context } = row;
    return listed.then((all) => all.map((snapshot) => ({ contextId, context, snapshot })));
  }

  /** Kept until there are others; a list that failed is not. */
  #list(row: Row): Promise<SnapshotInfo[]> {
    const listed = this.#connection
      .request("context/snapshot/list", { contextId: row.contextId })
      .then(({ snapshots }) => snapshots.toReversed());
    row.snapshots = listed;
    listed.catch(() => {
      if (row.snapshots === listed) delete row.snapshots;
    });
    return listed;
  }

  #contextItem(row: Row): vscode.TreeItem {
    const context = this.#contexts.statusOf(row.contextId)?.context ?? row.context;
    const isCurrent = this.#contexts.id === context.id;
    const item = new vscode.TreeItem(oneLine(context.name), vscode.TreeItemCollapsibleState.Collapsed);
    item.id = context.id;
    item.description = [usageText(context), ...folderText(context)].join(" · ");
    item.iconPath = new vscode.ThemeIcon(isCurrent ? "comment-discussion" : "comment");
    item.contextValue = `context${isCurrent ? ".current" : ""}${context.usage.messages ? "" : ".empty"}`;
    item.tooltip = `${context.name}\n${context.model ?? "no model yet"}\n${moment(context.lastUsedAt)}`;
    item.accessibilityInformation = {
      label: `${context.name}, ${shortWindow(context.usage.tokens, context.usage.limit)}`,
    };
    row.shown = lookOf(item);
    return item;
  }

  /** Draws the rows anew that look otherwise by now, and no other. */
  #update(): void {
    for (const row of this.#rows.values()) {
      const before = row.shown;
      const counted = this.#contexts.statusOf(row.contextId)?.snapshots;
      if (before !== undefined && lookOf(this.#contextItem(row)) !== before) this.#changed.fire(row);
      if (counted !== undefined && row.snapshots) void this.#compareSnapshots(row, counted);
    }
    const current = this.#contexts.id;
    if (current !== undefined && this.#rows.size > 0 && !this.#rows.has(current))
      this.#changed.fire(undefined);
  }

  async #compareSnapshots(row: Row, counted: number): Promise<void> {
    const listed = row.snapshots;
    const all = await listed?.catch(() => undefined);
    if (all === undefined || all.length === counted || row.snapshots !== listed) return;
    this.#reloadSnapshots(row.contextId);
  }

  #reloadSnapshots(contextId: string): void {
    const row = this.#rows.get(contextId);
    if (!row?.snapshots) return;
    delete row.snapshots;
    this.#changed.fire(row);
  }

  #reload(): void {
    for (const row of this.#rows.values()) delete row.snapshots;
    this.#changed.fire(undefined);
  }
}

function snapshotItem(row: Row, snapshot: SnapshotInfo): vscode.TreeItem {
  const item = new vscode.TreeItem(oneLine(snapshot.summary, 60) || moment(snapshot.createdAt));
  item.id = snapshot.id;
  item.description = `${moment(snapshot.createdAt)} · ${snapshotFigures(snapshot)}`;
  item.iconPath = new vscode.ThemeIcon("history");
  item.contextValue = "snapshot";
  item.tooltip = snapshot.summary;
  item.command = { title: "Show Messages", command: "ullage.previewSnapshot", arguments: [row] };
  return item;
}

function usageText({ usage }: Context): string {
  const fill = usage.fraction === null ? [] : [`${bar(usage.fraction)} ${percent(usage.fraction)}`];
  return [...fill, shortWindow(usage.tokens, usage.limit)].join(" · ");
}

/** The folder of a context is named where it is not the only one that is open. */
function folderText({ workspaceUri }: Context): string[] {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const uri = vscode.Uri.parse(workspaceUri);
  if (folders.length === 1 && folders[0]?.uri.toString() === uri.toString()) return [];
  return [uri.path.split("/").at(-1) ?? uri.path];
}

/** Contexts of the open folders come first, in the order of the folders. */
function place({ workspaceUri }: Context): number {
  const uri = vscode.Uri.parse(workspaceUri).toString();
  const index = (vscode.workspace.workspaceFolders ?? []).findIndex(
    (folder) => folder.uri.toString() === uri,
  );
  return index < 0 ? Number.MAX_SAFE_INTEGER : index;
}

function lookOf({ label, description, contextValue }: vscode.TreeItem): string {
  return JSON.stringify([label, description, contextValue]);
}
