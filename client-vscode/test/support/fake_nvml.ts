/** A graphics card that says of its memory what a test wants: the Python tests' own library in NVML's place. */

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeFolder, run, temporaryFolder } from "./processes.ts";
import { REPOSITORY } from "./product.ts";

const GB = 2 ** 30;

export class FakeNvml {
  readonly env: Record<string, string>;
  readonly #state: string;

  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#state = join(folder, "state");
    this.env = { LD_LIBRARY_PATH: folder, FAKE_NVML_STATE: this.#state };
  }

  static async build(): Promise<FakeNvml> {
    const folder = temporaryFolder("ullage-card");
    const library = "libnvidia-ml.so.1";
    const options = ["-shared", "-fPIC", "-O1", `-Wl,-soname,${library}`, "-o", join(folder, library)];
    await run("gcc", [...options, join(REPOSITORY, "tests/support/fake_nvml.c")]);
    const card = new FakeNvml(folder);
    card.says({ totalGb: 8, freeGb: 6 });
    return card;
  }

  /** From the next reading on. Replaced in one step, so that no reading sees half of it. */
  says({ totalGb, freeGb }: { totalGb: number; freeGb: number }): void {
    const [total, free] = [totalGb, freeGb].map((size) => Math.round(size * GB));
    writeFileSync(`${this.#state}.new`, `init 0\ncard 0 ${total} 0 ${free} Test Card\n`);
    renameSync(`${this.#state}.new`, this.#state);
  }

  remove(): void {
    removeFolder(this.#folder);
  }
}
