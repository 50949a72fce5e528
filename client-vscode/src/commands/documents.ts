// Read-only documents: what was asked for is shown in an editor and kept nowhere.
import * as vscode from "vscode";

export const SCHEME = "ullage";
const GONE = "This page is from an earlier session. Run the command again to see it.";

export class Documents implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #loaders = new Map<string, () => Promise<string>>();
  readonly #registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    return (await this.#loaders.get(uri.path)?.()) ?? GONE;
  }

  /** Show Markdown as it is meant to look; a page of this title that is open already is brought up to date. */
  async preview(title: string, load: () => Promise<string>): Promise<void> {
    const uri = this.#at(`${title}.md`, load);
    await vscode.commands.executeCommand("markdown.showPreview", uri);
  }

  async show(title: string, load: () => Promise<string>): Promise<void> {
    const document = await vscode.workspace.openTextDocument(this.#at(title, load));
    await vscode.window.showTextDocument(document, { preview: true, preserveFocus: true });
  }

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }

  #at(title: string, load: () => Promise<string>): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${title.replaceAll("/", "∕")}` });
    this.#loaders.set(uri.path, load);
    this.#changed.fire(uri);
    return uri;
  }
}
