// Real environments of a real Python, installed from a wheel that needs nothing else: nothing is downloaded.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { ProblemError } from "../../src/failures.ts";
import {
  addModules,
  discard,
  findDamage,
  findFault,
  type Kit,
  type Made,
  makeEnvironment,
  python,
  readMade,
} from "../../src/server/making.ts";
import { findMaker, PROBE } from "../../src/server/python.ts";
import { run, which } from "../../src/server/running.ts";

const WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    files = {
        "ullage/__init__.py": "",
        "ullage/app/__init__.py": "",
        "ullage/app/application.py": sys.argv[2],
        "ullage/app/parts.py": "",
        "ullage-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: ullage\\nVersion: 1.0\\n",
        "ullage-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(f"{name},,{len(text)}\\n" for name, text in files.items()) + "ullage-1.0.dist-info/RECORD,,\\n"
    for name, text in {**files, "ullage-1.0.dist-info/RECORD": record}.items():
        wheel.writestr(name, text)
`;

const OFFLINE = new Error("offline");

let folder: string;
let root: string;
let kit: Kit;
let made: Made;
let madeBeside: Made;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "ullage-environment-"));
  root = join(folder, "root");
  kit = await wheelOf("whole", "print('imported')");
  // What a window left that was killed while it made one.
  await mkdir(join(root, `${kit.key}-${await endedProcess()}-0a1b2c`, "bin"), { recursive: true });
  await writeFile(join(root, `${kit.key}.lock`), `${await endedProcess()} 0a1b2c`);
  [made, madeBeside] = await Promise.all([
    makeEnvironment(root, kit, maker, {}),
    makeEnvironment(root, kit, maker, {}),
  ]);
});

after(() => rm(folder, { recursive: true, force: true }));

async function wheelOf(name: string, application: string): Promise<Kit> {
  const place = join(folder, name);
  await mkdir(place);
  const wheel = join(place, "ullage-1.0-py3-none-any.whl");
  execFileSync("python3", ["-c", WHEEL, wheel, application]);
  const constraints = join(place, "constraints.txt");
  await writeFile(constraints, "");
  return { wheel, constraints, key: `1.0-${name}` };
}

/** The Python of this machine, asked as the extension asks. */
function maker() {
  return findMaker({
    setting: "",
    platform: process.platform,
    uv: async () => undefined,
    fromExtensions: async () => [],
    probe: async ({ file, args }) => {
      const found = await which(file);
      return found && JSON.parse(await run({ file: found, args: [...args, "-I", "-c", PROBE] }));
    },
  });
}

test("an environment is made, and the server's package is in it", async () => {
  assert.match(await run(python(made, "-c", "import ullage.app.application")), /imported/);
  assert.deepEqual(await readMade(root, kit.key), made);
  assert.equal(await findDamage(made.site), undefined);
});

test("where there is one already, nothing is made", async () => {
  const again = await makeEnvironment(root, kit, () => assert.fail("made another"), {});
  assert.deepEqual(again, made);
});

test("two windows at once have one environment between them, and clear away what a killed one left", async () => {
  assert.deepEqual(madeBeside, made);
  assert.deepEqual((await readdir(root)).sort(), [basename(made.folder), `${kit.key}.json`].sort());
});

test("a package of which a file was cut short is noticed", async () => {
  const site = await copyOfSite("cut");
  await truncate(join(site, "ullage/app/application.py"), 3);
  assert.match((await findDamage(site)) ?? "", /application\.py$/);
});

test("a package of which a file is gone is noticed", async () => {
  const site = await copyOfSite("gone");
  await rm(join(site, "ullage/__init__.py"));
  assert.match((await findDamage(site)) ?? "", /ullage.__init__\.py$/);
});

test("an environment without packages is damaged", async () => {
  assert.ok(await findDamage(join(folder, "nowhere")));
});

test("modules that a window is installing at this moment are no fault of the environment", async () => {
  const site = await copyOfSite("installing");
  await mkdir(join(site, "engine-2.0.dist-info"));
  assert.match((await findFault({ ...made, site }, [])) ?? "", /engine-2\.0\.dist-info/);
  assert.equal(await findFault({ ...made, site }, ["engine"]), undefined);
});

test("a server that can't be imported is a fault, with what Python said", async () => {
  assert.match((await findFault({ ...made, python: await pythonThat("exit 1") }, [])) ?? "", /code 1/);
});

test("a Python that is gone is a fault", async () => {
  assert.match((await findFault({ ...made, python: join(folder, "gone") }, [])) ?? "", /gone/);
});

test("a Python that was killed or that the system could not start is no fault of the environment", async () => {
  assert.equal(await findFault({ ...made, python: await pythonThat("kill -KILL $$") }, []), undefined);
  const locked = await pythonThat("exit 1");
  await chmod(locked, 0o600);
  assert.equal(await findFault({ ...made, python: locked }, []), undefined);
});

test("of a module that was cut off in the middle nothing is left where it can't be installed", async () => {
  const site = await copyOfSite("unfinished");
  await unpackHalf(site, "engine");
  const adding = addModules({ ...made, folder, site }, ["engine", "ullage"], {}, () =>
    Promise.reject(OFFLINE),
  );
  await assert.rejects(adding, OFFLINE);
  const left = await readdir(site);
  assert.ok(!left.includes("engine"));
  assert.ok(left.includes("ullage"));
});

test("two windows that install a module at once leave it to one of them, and it is whole", async () => {
  const site = await copyOfSite("two-windows");
  let installations = 0;
  const install = async () => {
    installations++;
    await unpackHalf(site, "engine");
    for (let look = 0; look < 100; look++) await readdir(site); // the other one looks meanwhile
    await writeFile(join(site, "engine-2.0.dist-info", "RECORD"), "engine/__init__.py,,0\n");
  };
  const add = () => addModules({ ...made, folder, site }, ["engine"], {}, install);
  await Promise.all([add(), add()]);
  assert.equal(installations, 1);
  assert.equal(await findDamage(site), undefined);
});

test("cancelled in the middle, nothing is left of it", async () => {
  const place = join(folder, "cancelled");
  const abort = new AbortController();
  const making = makeEnvironment(place, kit, maker, {
    signal: abort.signal,
    heard: (line) => line.startsWith("Processing") && abort.abort(),
  });
  await assert.rejects(making, { name: "AbortError" });
  assert.deepEqual(await readdir(place), []);
});

test("a server that can't be imported is a problem with a next step, and not kept", async () => {
  const place = join(folder, "unusable");
  const bad = await wheelOf("bad", "import a_package_that_is_missing");
  const error = await makeEnvironment(place, bad, maker, {}).catch((reason) => reason);
  assert.ok(error instanceof ProblemError);
  assert.match(error.message, /does not start/);
  assert.equal(await readMade(place, bad.key), undefined);
  assert.deepEqual(await readdir(place), []);
});

test("what can't be downloaded is named as that", async () => {
  const place = join(folder, "offline");
  const needy = { ...kit, wheel: "a-package-of-no-index", key: "1.0-offline" };
  const env = {
    ...process.env,
    PIP_INDEX_URL: "http://127.0.0.1:9/simple",
    PIP_RETRIES: "0",
    PIP_FIND_LINKS: "",
  };
  const error = await makeEnvironment(place, needy, maker, { env }).catch((reason) => reason);
  assert.ok(error instanceof ProblemError);
  assert.match(error.message, /could not be reached/);
});

test("a storage folder that can't be made is named as that", async () => {
  await appendFile(join(folder, "file"), "");
  const error = await makeEnvironment(join(folder, "file", "root"), kit, maker, {}).catch((reason) => reason);
  assert.ok(error instanceof ProblemError);
  assert.match(error.message, /does not let itself be written/);
});

test("a discarded environment is gone", async () => {
  await discard(root, kit.key);
  assert.deepEqual(await readdir(root), []);
});

/** As pip leaves it in the middle: some files, and no record of them. */
async function unpackHalf(site: string, module: string): Promise<void> {
  await mkdir(join(site, module));
  await writeFile(join(site, module, "__init__.py"), "");
  await mkdir(join(site, `${module}-2.0.dist-info`));
}

/** A program in Python's place. */
async function pythonThat(does: string): Promise<string> {
  const file = join(folder, `python that does ${does.replaceAll("$", "")}`);
  await writeFile(file, `#!/bin/sh\n${does}\n`);
  await chmod(file, 0o700);
  return file;
}

async function copyOfSite(name: string): Promise<string> {
  const site = join(folder, `site-${name}`);
  for (const part of ["ullage", "ullage-1.0.dist-info"]) {
    await cp(join(made.site, part), join(site, part), { recursive: true });
  }
  return site;
}

/** The id of a process that is no more. */
async function endedProcess(): Promise<string> {
  const file = join(folder, "pid");
  await run({
    file: process.execPath,
    args: ["-e", `require("fs").writeFileSync("${file}", String(process.pid))`],
  });
  return readFile(file, "utf8");
}
