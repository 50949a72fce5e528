/** A machine with a model server, a graphics card, and VS Code with the extension in it. */

import { closeBrowser } from "./browser.ts";
import { CodeServer, type CodeServerOptions } from "./code_server.ts";
import { FakeNvml } from "./fake_nvml.ts";
import { SERVER, vsix } from "./product.ts";
import { StubModel } from "./stub_model.ts";
import { type Opening, Workbench } from "./workbench.ts";

export interface MachineOptions extends CodeServerOptions {
  /** Left out: the one that `make vsix` made. Undefined: none. */
  vsix?: string | undefined;
  /** Tokens of the model server's window. */
  window?: number;
}

export class Machine {
  readonly model: StubModel;
  readonly card: FakeNvml;
  readonly editor: CodeServer;
  readonly #settings: Readonly<Record<string, unknown>>;

  private constructor(
    model: StubModel,
    card: FakeNvml,
    editor: CodeServer,
    settings: Readonly<Record<string, unknown>>,
  ) {
    this.model = model;
    this.card = card;
    this.editor = editor;
    this.#settings = settings;
  }

  static async start({ window, env, ...options }: MachineOptions = {}): Promise<Machine> {
    const [model, card] = await Promise.all([StubModel.start(window), FakeNvml.build()]);
    const settings = {
      "ullage.extension.server": SERVER,
      "ullage.providers.default": "llamacpp",
      "ullage.providers.llamacpp.url": model.url,
      "ullage.memory.pollSeconds": 0.5,
      ...options.settings,
    };
    const editor = await CodeServer.start({
      hand: true,
      ...options,
      vsix: "vsix" in options ? options.vsix : vsix(),
      settings,
      env: { ...card.env, ...env },
    });
    return new Machine(model, card, editor, settings);
  }

  /** A window on a folder of this name, once the status bar says how full its context is. */
  async open(name: string, opening: Opening = {}): Promise<Workbench> {
    const path = this.editor.folder(name, { "notes.md": `# ${name}\n` });
    const window = await Workbench.open(this.editor, { path, ...opening });
    if (opening.beside === undefined) await window.closeWalkthrough();
    await window.statusItem(/\d+(\.\d+)?k?\/\d+k/).waitFor();
    return window;
  }

  /** Beside the settings that it was started with. */
  changeSettings(settings: Readonly<Record<string, unknown>>): void {
    this.editor.changeSettings({ ...this.#settings, ...settings });
  }

  async stop(): Promise<void> {
    await closeBrowser();
    try {
      await this.editor.stop();
    } finally {
      await this.model.stop();
      this.card.remove();
    }
  }
}
