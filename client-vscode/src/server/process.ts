// Child processes: the server, and whatever prepares its environment.
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { homedir } from "node:os";
import { createInterface } from "node:readline";

export interface Command {
  file: string;
  args: string[];
}

/** `withDescendants`: killed, it takes along what it has started. The server's engine ends with it by itself. */
interface Starting {
  env?: NodeJS.ProcessEnv;
  withDescendants?: boolean;
}

const REMEMBERED = 200;

/** A process that was started, with the last lines that it wrote. */
export class Child {
  readonly lastLines: string[] = [];
  /** Fulfilled when it has ended and its pipes are closed. */
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #grouped: boolean;

  private constructor(
    child: ChildProcessWithoutNullStreams,
    grouped: boolean,
    heard: (line: string) => void,
  ) {
    this.#child = child;
    this.#grouped = grouped;
    this.ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
    this.#listen(child.stderr, heard);
    child.stdin.on("error", () => undefined); // what could not be written any more: the end says why
  }

  /**
   * Rejects where the file can't be started. It is not started in the workspace's folder, from which Python must not
   * import, and which could not be renamed on Windows meanwhile.
   */
  static start(command: Command, heard: (line: string) => void, starting: Starting = {}): Promise<Child> {
    return new Promise((resolve, reject) => {
      const { env = process.env, withDescendants = false } = starting;
      const grouped = withDescendants && process.platform !== "win32";
      const options = { env, detached: grouped, cwd: homedir(), windowsHide: true };
      const started = spawn(command.file, command.args, { ...options, stdio: "pipe" });
      const child = new Child(started, grouped, heard);
      started.once("error", reject);
      started.once("spawn", () => resolve(child));
    });
  }

  get stdin() {
    return this.#child.stdin;
  }

  get stdout() {
    return this.#child.stdout;
  }

  /** Hear its standard output as lines, too: for processes that don't speak the protocol. */
  hearOutput(heard: (line: string) => void): void {
    this.#listen(this.#child.stdout, heard);
  }

  #listen(stream: NodeJS.ReadableStream, heard: (line: string) => void): void {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) => {
      this.lastLines.push(line);
      if (this.lastLines.length > REMEMBERED) this.lastLines.shift();
      heard(line);
    });
  }

  /** Wait for its end so long, then kill it. */
  async endWithin(milliseconds: number): Promise<void> {
    const timer = setTimeout(() => this.kill(), milliseconds);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    const { pid } = this.#child;
    if (process.platform === "win32")
      execFile("taskkill", ["/T", "/F", "/PID", String(pid)], () => undefined);
    else if (!this.#grouped || pid === undefined) this.#child.kill("SIGKILL");
    else {
      try {
        process.kill(-pid, "SIGKILL");
      } catch {
        // All of it has ended.
      }
    }
  }
}
