import { window } from "vscode";

/** The one output channel: what the server says at stderr, what pip says, and what went wrong here. */
export const log = window.createOutputChannel("Ullage", { log: true });
