#!/usr/bin/env bash
# Every test in an editor, and at the end one line of how many passed; with --vscode-only those in VS Code. Run through
# with-test-tools.sh, once the extension is packed. Pictures of what VS Code showed are left in test/screenshots.
set -uo pipefail
cd "$(dirname "$0")/.."
rm -rf test/screenshots
mkdir -p test/build
others=0
if [ "${1:-}" != --vscode-only ]; then
  export ULLAGE_OTHER_EDITORS=$PWD/test/build/other-editors.xml
  (cd .. && .venv/bin/pytest -q tests/editors --junitxml="$ULLAGE_OTHER_EDITORS")
  others=$?
fi
# One after the other: each starts a VS Code and a browser.
node --test --test-concurrency=1 \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=./test/support/closing_line.ts --test-reporter-destination=stdout \
  'test/unit/*.test.ts' test/host/run.ts 'test/ui/*.test.ts'
[ $? = 0 ] && [ $others = 0 ]
