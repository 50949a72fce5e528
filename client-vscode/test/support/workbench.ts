/** One window of VS Code, seen and used as a person would: through what is on the screen. Everything waits for its part. */

import { mkdirSync } from "node:fs";
import type { BrowserContext, Locator, Page } from "playwright-core";
import { SCREENSHOTS, theBrowser } from "./browser.ts";
import { Chat } from "./chat.ts";
import type { CodeServer } from "./code_server.ts";
import { Hand } from "./hand.ts";
import { until } from "./waiting.ts";

/** Generous: the machine may have two slow cores, and nothing waits longer than it must. */
const WAIT_MS = 40_000;

export { closeBrowser } from "./browser.ts";

export type Theme = "light" | "dark";
const THEMES: Record<Theme, string> = { light: "Light Modern", dark: "Dark Modern" };

/** How loud an item of the status bar is. */
export type Kind = "plain" | "warning" | "error";

export interface Opening {
  /** The path of a folder or of a `.code-workspace` file; nothing: an empty window. */
  path?: string;
  /** A window of the same person as this one's; else a new person's, who never saw VS Code before. */
  beside?: Workbench;
}

export class Workbench {
  readonly page: Page;
  readonly chat: Chat;
  readonly server: CodeServer;
  #context: BrowserContext;
  #hand: Promise<Hand> | undefined;

  private constructor(server: CodeServer, context: BrowserContext, page: Page) {
    this.server = server;
    this.#context = context;
    this.page = page;
    this.chat = new Chat(page);
    page.setDefaultTimeout(WAIT_MS);
  }

  static async open(server: CodeServer, { path, beside }: Opening = {}): Promise<Workbench> {
    const workbench = await Workbench.blank(server, beside);
    await workbench.go(path);
    return workbench;
  }

  /** A window with nothing in it yet, for `go`. */
  static async blank(server: CodeServer, beside?: Workbench): Promise<Workbench> {
    const viewport = { width: 1280, height: 800 };
    const context = beside ? beside.#context : await (await theBrowser()).newContext({ viewport });
    return new Workbench(server, context, await context.newPage());
  }

  /** Opens another folder or workspace in this window; `payload` is what VS Code takes for its own tests. */
  async go(path?: string, payload?: readonly (readonly [string, string])[]): Promise<void> {
    const query = new URLSearchParams();
    if (path === undefined) query.set("ew", "true");
    else query.set(path.endsWith(".code-workspace") ? "workspace" : "folder", path);
    if (payload !== undefined) query.set("payload", JSON.stringify(payload));
    await this.#loading(() => this.page.goto(`${this.server.url}/?${query}`));
    if (query.has("workspace") && this.server.hasHands) await this.#seeFolders();
  }

  /** In a browser VS Code now and then opens a workspace without its folders, and has to load it again. */
  async #seeFolders(): Promise<void> {
    await until("the workspace's folders", async () => {
      const hand = await this.hand;
      if (await hand.run((api) => Boolean(api.workspace.workspaceFolders?.length))) return true;
      await this.reload();
      return false;
    });
  }

  async reload(): Promise<void> {
    await this.#loading(() => this.page.reload());
  }

  /** The test's hand in this window's extension host. */
  get hand(): Promise<Hand> {
    if (this.#hand === undefined) throw new Error("The server was started without hands.");
    return this.#hand;
  }

  async #loading(load: () => Promise<unknown>): Promise<void> {
    const before = Hand.present(this.server.hands);
    await load();
    await this.page.locator(".part.statusbar .statusbar-item").first().waitFor();
    if (!this.server.hasHands) return;
    this.#hand = Hand.next(this.server.hands, before);
    this.#hand.catch(() => undefined); // told to whoever asks for it
  }

  /** Closes the window; the person's other windows stay. */
  async close(): Promise<void> {
    await this.page.close();
    if (this.#context.pages().length === 0) await this.#context.close();
  }

  // --- the status bar

  /** The item whose id or text has this in it. */
  statusItem(match: string | RegExp): Locator {
    const items = this.page.locator(".part.statusbar .statusbar-item");
    return typeof match === "string"
      ? items.and(this.page.locator(`[id*="${match}"]`))
      : items.filter({ hasText: match });
  }

  async statusText(match: string | RegExp): Promise<string> {
    return ((await this.statusItem(match).first().textContent()) ?? "").trim();
  }

  async statusKind(match: string | RegExp): Promise<Kind> {
    const classes = (await this.statusItem(match).first().getAttribute("class")) ?? "";
    return classes.includes("error-kind") ? "error" : classes.includes("warning-kind") ? "warning" : "plain";
  }

  /** What is shown under the pointer; it stays there until the next move. */
  async tooltip(match: string | RegExp): Promise<Locator> {
    await this.page.mouse.move(640, 300);
    await this.statusItem(match).first().hover();
    const hover = this.page.locator(".workbench-hover .hover-contents");
    await hover.first().waitFor();
    return hover.first();
  }

  // --- commands and choices

  /** Runs a command by its title in the palette, such as "Ullage: Show Status". */
  async run(title: string): Promise<void> {
    await this.#find(`>${title}`, this.row(title, { exact: true }));
    await until(`the palette gone after ${title}`, async () => (await this.typed()) !== `>${title}`);
  }

  /** Types into the palette and chooses a row. */
  async #find(text: string, row: Locator): Promise<void> {
    await this.dismiss();
    await until(`a choice for ${text}`, async () => {
      if ((await this.#ask(text)) && (await hasWorked(row.click({ timeout: 3000 })))) return true;
      await this.dismiss(); // it searches anew only when it is opened anew
      return false;
    });
  }

  /** What takes the focus meanwhile, such as an editor that is just being opened, closes the palette. */
  async #ask(text: string): Promise<boolean> {
    if ((await this.typed()) === undefined) await this.page.keyboard.press("F1");
    const input = this.page.locator(".quick-input-widget:visible input.input").first();
    return hasWorked(input.fill(text, { timeout: 500 }));
  }

  /** What stands in the input at the top; undefined where there is none. */
  async typed(): Promise<string | undefined> {
    const inputs = this.page.locator(".quick-input-widget:visible input.input");
    return inputs.evaluateAll((all) => (all[0] as { value: string } | undefined)?.value);
  }

  /** Opens the palette with these letters typed and leaves it open. */
  async showPalette(letters: string): Promise<void> {
    await this.dismiss();
    await until(`the palette with ${letters}`, () => this.#ask(`>${letters}`));
    await this.row(/./).first().waitFor();
  }

  /** The titles that the palette offers for these letters. */
  async offered(letters: string): Promise<string[]> {
    await this.showPalette(letters);
    const titles = new Set<string>();
    const last = this.page.locator(".quick-input-list .monaco-list-row[data-last-element=true]");
    for (;;) {
      await this.row(/./).first().waitFor();
      for (const label of await this.page.locator(".quick-input-list .label-name").allInnerTexts())
        titles.add(label);
      if (await last.isVisible()) break; // only the rows that can be seen are there
      await this.page.keyboard.press("PageDown");
    }
    await this.dismiss();
    return [...titles];
  }

  /** Closes whatever asks at the top. */
  async dismiss(): Promise<void> {
    await until("nothing asking at the top", async () => {
      if ((await this.typed()) === undefined) return true;
      await this.page.keyboard.press("Escape");
      return false;
    });
  }

  /** Fills the input at the top, whatever asks there. */
  async type(text: string): Promise<void> {
    await this.page.locator(".quick-input-widget:visible input.input").first().fill(text);
  }

  /** What a choice at the top shows: its rows, in order, as a screen reader would say them. */
  async rows(): Promise<string[]> {
    await this.row(/./).first().waitFor();
    const rows = this.page.locator(".quick-input-widget:visible .quick-input-list .monaco-list-row");
    return rows.evaluateAll((all) => all.map((row) => row.getAttribute("aria-label") ?? ""));
  }

  row(text: string | RegExp, { exact = false } = {}): Locator {
    const rows = this.page.locator(".quick-input-widget:visible .quick-input-list .monaco-list-row");
    if (!exact) return rows.filter({ hasText: text });
    return rows.filter({ has: this.page.locator(".label-name").getByText(text, { exact: true }) }).first();
  }

  async choose(text: string | RegExp): Promise<void> {
    await this.row(text).first().click();
  }

  /** A button in a row of a choice, by its tooltip, such as the one that previews a snapshot. */
  async pressInRow(text: string | RegExp, button: string): Promise<void> {
    const row = this.row(text).first();
    await row.hover();
    await row.locator(`.quick-input-list-entry-action-bar a[aria-label*="${button}"]`).click();
  }

  // --- notifications and dialogs

  notification(text: string | RegExp): Locator {
    return this.page.locator(".notification-toast").filter({ hasText: text });
  }

  async buttons(notification: Locator): Promise<string[]> {
    return notification.locator(".notification-list-item-buttons-container a.monaco-button").allInnerTexts();
  }

  async press(notification: Locator, button: string): Promise<void> {
    await notification.locator("a.monaco-button").getByText(button, { exact: true }).click();
  }

  /** Away with all that might lie over what is to be seen. */
  async clearNotifications(): Promise<void> {
    await this.run("Notifications: Clear All Notifications");
    await until(
      "no notification",
      async () => (await this.page.locator(".notification-toast").count()) === 0,
    );
  }

  /** A modal dialog over the window. */
  dialog(text: string | RegExp): Locator {
    return this.page.locator(".monaco-dialog-box").filter({ hasText: text });
  }

  // --- side bar and editors

  /** Shows a view by the title of its container in the activity bar. */
  async showView(title: string): Promise<void> {
    const action = this.page.locator(`.activitybar .action-item:has(a[aria-label^="${title}"])`);
    if ((await action.getAttribute("class"))?.split(" ").includes("checked") !== true) await action.click();
    await this.page
      .locator(".part.sidebar .composite.title")
      .filter({ hasText: new RegExp(title, "i") })
      .waitFor();
  }

  treeRow(text: string | RegExp): Locator {
    return this.page.locator(".part.sidebar .pane-body .monaco-list-row").filter({ hasText: text });
  }

  /** Label and description of every row that is unfolded. */
  async treeRows(): Promise<string[]> {
    await this.treeRow(/./).first().waitFor();
    const rows = await this.page.locator(".part.sidebar .pane-body .monaco-list-row").all();
    return Promise.all(
      rows.map(async (row) =>
        (await row.locator(".label-name, .label-description").allInnerTexts()).join(" ").trim(),
      ),
    );
  }

  async expand(text: string | RegExp): Promise<void> {
    const row = this.treeRow(text).first();
    if ((await row.getAttribute("aria-expanded")) === "false")
      await row.locator(".monaco-tl-twistie").click();
  }

  /** An action in the line of a tree's row, by its tooltip. */
  async pressInTree(text: string | RegExp, action: string): Promise<void> {
    const row = this.treeRow(text).first();
    await row.hover();
    await row.locator(`.actions a[aria-label*="${action}"]`).click();
  }

  /** The titles of a row's context menu. */
  async contextMenu(text: string | RegExp): Promise<string[]> {
    await this.treeRow(text).first().click({ button: "right" });
    const labels = this.page.locator(
      ".context-view .action-label:visible, .monaco-menu .action-label:visible",
    );
    await labels.first().waitFor();
    return (await labels.allInnerTexts()).map((label) => label.trim()).filter((label) => label !== "");
  }

  /** A line of the text that is shown in an editor; its blanks are any sign to an expression. */
  editorLine(text: RegExp): Locator {
    return this.page.locator(".part.editor .view-line").filter({ hasText: text });
  }

  /** The titles of the editors that are open. */
  async tabs(): Promise<string[]> {
    return this.page
      .locator(".tabs-container .tab")
      .evaluateAll((all) => all.map((tab) => tab.getAttribute("data-resource-name") ?? ""));
  }

  /** Opens a file of the workspace by its name. */
  async openFile(name: string): Promise<void> {
    await this.#find(name, this.row(name).first());
    await this.page.locator(".tab.active").filter({ hasText: name }).waitFor();
  }

  /** Adds a folder to a window that has several; in one of a single folder VS Code would load everything anew. */
  async addFolder(path: string): Promise<void> {
    const hand = await this.hand;
    await hand.run((api, added) => {
      const folders = api.workspace.workspaceFolders ?? [];
      api.workspace.updateWorkspaceFolders(folders.length, 0, { uri: api.Uri.file(added) });
    }, path);
  }

  /** Turns VS Code's own chat on, which brings the agents; on a new profile it waits for a sign-in that nobody needs here. */
  async enableAgents(): Promise<void> {
    const hand = await this.hand;
    await hand.command("workbench.extensions.installExtension", "GitHub.copilot-chat", { enable: true });
    const isActive = () =>
      hand.run((api) => api.extensions.getExtension("GitHub.copilot-chat")?.isActive ?? false);
    await until("VS Code's own chat active", isActive); // before, a question leads to the sign-in
  }

  /** Trusts the folder that the window is on, as a person does who was asked. */
  async trustFolder(): Promise<void> {
    await this.run("Workspaces: Manage Workspace Trust");
    const editor = this.page.locator(".workspace-trust-editor");
    await editor
      .locator("a.monaco-button:visible")
      .filter({ hasText: /^Trust/ })
      .first()
      .click();
    await editor.getByText("You trust this folder").waitFor();
    await this.page.keyboard.press("Escape");
  }

  /** The first start of all opens the extension's walkthrough. */
  async closeWalkthrough(): Promise<void> {
    await this.page.locator(".getting-started-step").first().waitFor();
    await this.run("View: Close All Editors");
    await until("no editor", async () => (await this.tabs()).length === 0);
  }

  // --- looks

  async setTheme(theme: Theme): Promise<void> {
    await this.run("Preferences: Color Theme");
    await this.row(THEMES[theme], { exact: true }).click();
    await this.page.locator(`.monaco-workbench.${theme === "dark" ? "vs-dark" : "vs"}`).waitFor();
  }

  /** A picture among the tests' artefacts, in both themes `<name>-light.png` and `<name>-dark.png`. */
  async screenshots(name: string, arrange: () => Promise<void> = async () => {}): Promise<void> {
    for (const theme of ["dark", "light"] as const) {
      await this.setTheme(theme);
      await arrange();
      await this.screenshot(name);
    }
  }

  /** In the theme that is on, which its name ends with. */
  async screenshot(name: string): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const theme: Theme = (await this.page.locator(".monaco-workbench.vs-dark").count()) ? "dark" : "light";
    await this.page.screenshot({ path: `${SCREENSHOTS}${name}-${theme}.png` });
  }
}

function hasWorked(doing: Promise<unknown>): Promise<boolean> {
  return doing.then(
    () => true,
    () => false,
  );
}
