// What may stand in the way of the server's environment, and what a person can do about it.
import { type Problem, type Remedy, SHOW_LOG } from "../failures.ts";

const AGAIN: Remedy = { title: "Try Again", command: "ullage.restartServer" };
const CHOOSE_PYTHON: Remedy = setting("Choose a Python", "python");
const GET_PYTHON: Remedy = {
  title: "Get Python",
  command: "vscode.open",
  arguments: ["https://www.python.org/downloads/"],
};

function setting(title: string, name: string): Remedy {
  return { title, command: "workbench.action.openSettings", arguments: [`ullage.extension.${name}`] };
}

const problem = (message: string, ...remedies: Remedy[]): Problem => ({ message, remedies });

export const cancelled = (): Problem =>
  problem("Ullage's server was not set up, as you cancelled it. Nothing is left of it.", {
    ...AGAIN,
    title: "Set Up Now",
  });

export const incomplete = (): Problem =>
  problem("The extension was not installed completely: it lacks its server. Install it once more.", SHOW_LOG);

export const serverMissing = (file: string): Problem =>
  problem(
    `The setting ullage.extension.server names ${file}, which is no program that can be started. Correct it, or empty it to use the server that comes with the extension.`,
    setting("Open Setting", "server"),
  );

export const pythonMissing = (file: string): Problem =>
  problem(
    `The setting ullage.extension.python names ${file}, which is no Python that can be started. Correct it, or empty it to have one found.`,
    setting("Open Setting", "python"),
  );

export const noPython = (): Problem =>
  problem(
    "Ullage's server needs Python 3.11 or newer, and there is none on this machine. Install it, or uv, and try again.",
    GET_PYTHON,
    AGAIN,
    CHOOSE_PYTHON,
  );

export const pythonTooOld = (file: string, version: string): Problem =>
  problem(
    `Ullage's server needs Python 3.11 or newer; ${file} is ${version}. Install a newer one beside it, and try again.`,
    GET_PYTHON,
    AGAIN,
    CHOOSE_PYTHON,
  );

export const noVenv = (file: string, version: string): Problem =>
  problem(
    `${file} lacks the venv module, which Ullage's server is set up with. On Debian and Ubuntu it comes with: sudo apt install python${version}-venv`,
    AGAIN,
    CHOOSE_PYTHON,
  );

export const broken = (): Problem =>
  problem(
    "Ullage's server was installed and does not start. Its log says why; another Python may do better.",
    SHOW_LOG,
    AGAIN,
    CHOOSE_PYTHON,
  );

const offline = (what: string): Problem =>
  problem(
    `${what} has to be downloaded once, and the Python package index could not be reached. Connect to the network, or set http.proxy, and try again.`,
    AGAIN,
    SHOW_LOG,
  );

const proxy = (what: string): Problem =>
  problem(
    `${what} could not be downloaded: the proxy refused the connection. Correct the setting http.proxy or the variable HTTPS_PROXY, and try again.`,
    { title: "Open Setting", command: "workbench.action.openSettings", arguments: ["http.proxy"] },
    AGAIN,
    SHOW_LOG,
  );

const certificate = (what: string): Problem =>
  problem(
    `${what} could not be downloaded: the certificate of the package index was not accepted. Where your network has one of its own, name it in pip's configuration: pip config set global.cert FILE`,
    AGAIN,
    SHOW_LOG,
  );

const compiler = (what: string): Problem =>
  problem(
    `${what} has a part that no ready-made package exists of for this Python, and there is no compiler to make it. Choose Python 3.11 to 3.14, or install a compiler (Debian and Ubuntu: sudo apt install build-essential python3-dev).`,
    CHOOSE_PYTHON,
    AGAIN,
    SHOW_LOG,
  );

const diskFull = (what: string): Problem =>
  problem(
    `${what} could not be installed: the disk is full. Make 500 MB of room and try again.`,
    AGAIN,
    SHOW_LOG,
  );

const notWritable = (what: string): Problem =>
  problem(
    `${what} could not be installed: the editor's storage folder does not let itself be written. Its log names the file.`,
    SHOW_LOG,
    AGAIN,
  );

const unnamed = (what: string): Problem =>
  problem(`${what} could not be installed. The log says what pip said.`, SHOW_LOG, AGAIN, CHOOSE_PYTHON);

/** What pip, uv, venv and the system say, the more particular first: a proxy's refusal also reads as no network. */
const SIGNS: [RegExp, (what: string) => Problem][] = [
  [/No space left on device|ENOSPC|not enough space|Errno 28\b|disk quota/i, diskFull],
  [/ProxyError|proxy authentication|tunnel (connection failed|error)/i, proxy],
  [/CERTIFICATE_VERIFY_FAILED|SSLCertVerification|invalid peer certificate|UnknownIssuer/i, certificate],
  [
    /(command|unable to execute) '[^']*(gcc|g\+\+|cc|c\+\+|clang)[^']*'|Visual C\+\+|No such file or directory: '(gcc|cc|c\+\+|clang)|can't find Rust|rustc|Failed building wheel|Failed to build/i,
    compiler,
  ],
  [
    /NewConnectionError|ConnectTimeout|ReadTimeout|name resolution|getaddrinfo|Name or service not known|nodename nor servname|Network is unreachable|Connection refused|timed? ?out|dns error|error sending request|client error \(Connect\)|No matching distribution/i,
    offline,
  ],
  [/Permission denied|EACCES|EPERM|EROFS|ENOTDIR|Read-only file system|Access is denied/i, notWritable],
];

/** Name the problem behind what was said when `what` was installed. */
export function installationProblem(what: string, said: string): Problem {
  const [, named] = SIGNS.find(([sign]) => sign.test(said)) ?? [undefined, unnamed];
  return named(what);
}
