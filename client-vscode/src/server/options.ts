import { type Extension, workspace } from "vscode";
import {
  CloseAction,
  ErrorAction,
  type LanguageClientOptions,
  RevealOutputChannelOn,
} from "vscode-languageclient/node";
import { log } from "../log.ts";
import { chosenSettings, serverSettings } from "./settings.ts";

/** The language client's options. `lost` is called when the server has gone without having been asked to. */
export function clientOptions(extension: Extension<unknown>, lost: () => void): LanguageClientOptions {
  const settings = () => {
    const configuration = workspace.getConfiguration();
    return chosenSettings(serverSettings(extension.packageJSON), (key) => configuration.inspect(key));
  };
  return {
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationOptions: settings,
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        lost();
        // Another process, with a client of its own, takes its place: `Connection` decides when.
        return {
          action: CloseAction.DoNotRestart,
          handled: true,
          message: "The server's connection closed.",
        };
      },
    },
    middleware: {
      workspace: {
        configuration: (params) =>
          params.items.map(({ section }) => (section === "ullage" ? settings() : null)),
      },
    },
  };
}
