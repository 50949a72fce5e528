/** VS Code's own chat view. */

import type { Locator, Page } from "playwright-core";
import { until } from "./waiting.ts";

/** A small model on a slow machine reads a few hundred tokens a second. */
const ANSWERING_MS = 120_000;
const SHORT_MS = 2000;

export class Chat {
  #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  get view(): Locator {
    return this.#page.locator(".interactive-session:visible").first();
  }

  get input(): Locator {
    return this.view.locator(".interactive-input-part .chat-editor-container .monaco-editor").first();
  }

  /** What was answered, oldest first; the newest may still be coming. */
  get answers(): Locator {
    return this.view.locator(".monaco-list-row.response");
  }

  async start(): Promise<void> {
    if (!(await this.view.isVisible())) await this.#page.keyboard.press("Control+Alt+I");
    await this.input.waitFor();
  }

  /** Begins another conversation in the view. */
  async startNew(): Promise<void> {
    await this.#page.locator(".part.auxiliarybar .composite.title a[aria-label^='New Chat']").first().click();
    await this.answers.first().waitFor({ state: "detached" });
  }

  /** Sends a question and waits until its answer is whole; the answer's text. */
  async ask(text: string): Promise<string> {
    const number = (await this.#newest()) + 2; // the question comes between
    await this.send(text);
    const answer = this.view.locator(`.monaco-list-row.response[data-index="${number}"]`);
    const whole = answer.locator(".interactive-response:not(.chat-response-loading)");
    await whole.waitFor({ timeout: ANSWERING_MS });
    return this.lastAnswer();
  }

  /** The place of the newest answer in the list; only what can be seen of the list is there. */
  async #newest(): Promise<number> {
    const places = await this.answers.evaluateAll((all) =>
      all.map((row) => Number(row.getAttribute("data-index"))),
    );
    return Math.max(-1, ...places);
  }

  async send(text: string): Promise<void> {
    await this.input.locator(".native-edit-context, textarea.inputarea").first().focus(); // a notification may lie over it
    await this.#page.keyboard.press("Control+A");
    await this.#page.keyboard.type(text);
    await this.#page.keyboard.press("Escape"); // what completion offers would take the Enter
    await this.#page.keyboard.press("Enter");
  }

  async lastAnswer(): Promise<string> {
    return (await this.answers.last().locator(".value").allInnerTexts()).join("\n").trim();
  }

  async stop(): Promise<void> {
    await this.view.locator(".chat-execute-toolbar a.codicon-stop-circle").click();
  }

  get model(): Locator {
    return this.view.locator(".model-picker-item a.model-picker-name");
  }

  /** The circle that shows how full the model's window is; its tooltip has the figures. */
  get usage(): Locator {
    return this.view.locator(".chat-context-usage-widget");
  }

  async pickModel(name: string): Promise<void> {
    await until(`the model ${name}`, async () => {
      const menu = await this.#menu(this.model);
      await menu
        .locator("input")
        .fill(name, { timeout: SHORT_MS })
        .catch(() => undefined); // one model needs no search
      return this.#choose(menu, name);
    });
  }

  /** Agent, or one of the agents that extensions contribute. */
  async pickAgent(name: string): Promise<void> {
    await until(`the agent ${name}`, async () => this.#choose(await this.#menu(this.#agent), name));
    await this.#agent.filter({ hasText: new RegExp(`^${name}$`) }).waitFor();
  }

  get #agent(): Locator {
    return this.view.locator(".chat-mode-picker-item a").first();
  }

  /** The picker's list; whatever is loaded meanwhile may close it again. */
  async #menu(picker: Locator): Promise<Locator> {
    const menu = this.#page.locator(".action-widget:visible");
    if (!(await menu.isVisible())) await picker.click();
    return menu;
  }

  async #choose(menu: Locator, name: string): Promise<boolean> {
    const row = menu
      .locator(".monaco-list-row.action")
      .filter({ has: this.#page.getByText(name, { exact: true }) });
    return row
      .first()
      .click({ timeout: SHORT_MS })
      .then(
        () => true,
        () => this.#page.keyboard.press("Escape").then(() => false),
      );
  }
}
