import assert from "node:assert/strict";
import { test } from "node:test";
import { installationProblem } from "../../src/server/problems.ts";

const message = (said: string) => installationProblem("Ullage's server", said).message;

test("no network is told from what pip and uv say of it", () => {
  for (const said of [
    "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/attrs/\nERROR: No matching distribution found for attrs<27,>=25.1",
    "error: Failed to fetch: `https://index/simple/rich/`\n  Caused by: error sending request for url\n  Caused by: client error (Connect)\n  Caused by: dns error: failed to lookup address information",
  ]) {
    assert.match(message(said), /could not be reached\. Connect to the network/);
  }
});

test("a proxy's refusal is not taken for a missing network", () => {
  const said =
    "WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.', NewConnectionError('Connection refused'))'\nERROR: No matching distribution found for attrs";
  assert.match(message(said), /the proxy refused/);
});

test("a certificate that is not accepted is named with pip's setting for it", () => {
  const said =
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate'))";
  assert.match(message(said), /pip config set global\.cert/);
});

test("a missing compiler is named with its remedy", () => {
  for (const said of [
    "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory\n  ERROR: Failed building wheel for psutil",
    "error: Microsoft Visual C++ 14.0 or greater is required.",
    "error: can't find Rust compiler",
  ]) {
    assert.match(message(said), /no compiler.*build-essential/);
  }
});

test("a full disk is told, also where a build ran into it", () => {
  for (const said of [
    "ERROR: Could not install packages due to an OSError: [Errno 28]\nFailed to build x",
    "error: failed to write to file: No space left on device (os error 28)",
    "Error: ENOSPC: write",
  ]) {
    assert.match(message(said), /disk is full/);
  }
});

test("a folder that can't be written is told", () => {
  assert.match(
    message("Error: [Errno 13] Permission denied: '/x/environments'"),
    /does not let itself be written/,
  );
});

test("what nobody knows leads to the log", () => {
  const { message: said, remedies } = installationProblem("Ullage's server", "Segmentation fault");
  assert.match(said, /The log says/);
  assert.equal(remedies[0]?.command, "ullage.showLog");
});

test("sizes in pip's words are not read as anything", () => {
  assert.match(message("Downloading regex (407 kB)\nDownloading psutil (28 kB)"), /The log says/);
});
