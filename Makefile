# From a fresh clone: `make run` serves, `make test` tests. Both set up what is missing first.

PYTHON ?= $(firstword $(foreach name,python3 python3.12 python3.11 python3.13 python3.14,$(if $(shell $(name) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(name))))
BIN := .venv/bin
ARGS ?=
JOBS ?= 2
LANGUAGES := notifier/ground/languages
POT := .venv/languages/messages.pot

# The tests start hundreds of processes: each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run setup help test suite quick browser faults statements lint fuzz bench load smoke languages lock client-support client-types install install-dev assets

# Without the lines that say that all is well, the sign-in stays on the screen; LOG_LEVEL=info shows every step.
run: setup  ## serves on http://127.0.0.1:5000, with everything it needs
	@LOG_LEVEL=$${LOG_LEVEL:-warning} exec $(BIN)/python -m notifier up

setup: install assets
	@$(BIN)/python -m notifier migrate

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: install install-dev assets  ## suite and browser; ARGS="tests/core -k quiet" runs just those
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory --keep-going suite browser
else
	@$(BIN)/python -m pytest $(ARGS)
endif

# So many processes share the tests out as tests/sharing_out.py says.
suite: install install-dev assets  ## all tests but those of the browser and the faults; JOBS=8 with eight cores
	@$(BIN)/python -m pytest -n $(JOBS) --ignore=tests/browser --ignore=tests/faults --ignore=tests/contract

quick: install install-dev assets  ## the suite on SQLite, without what takes seconds: while you work
	@$(BIN)/python -m pytest -n $(JOBS) --quick --ignore=tests/browser --ignore=tests/faults --ignore=tests/contract

browser: install install-dev assets  ## the pages in a real Chromium
	@$(BIN)/python -m pytest -n 2 tests/browser

# Asks everything of both databases, and then leaves out of the suite what PostgreSQL sees nothing new in.
statements: install install-dev assets  ## which tests need SQLite only (tests/on_sqlite.txt)
	@rm -rf .venv/statements
	@$(BIN)/python -m pytest -n 2 -k postgresql --ignore=tests/browser --ignore=tests/faults --ignore=tests/contract --statements .venv/statements
	@$(BIN)/python -m tests.statements .venv/statements

# Takes some minutes; tests/faults/installation.py says how much longer it can be.
faults: install install-dev assets  ## kills and restarts real processes under load
	@$(BIN)/python -m pytest -n 2 tests/faults $(ARGS)

fuzz: install install-dev assets  ## holds a running installation to its OpenAPI document
	@$(BIN)/python -m pytest tests/contract $(ARGS)

lint: install install-dev  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: install install-dev assets  ## how fast this machine is; ARGS="--quick", ARGS="--only sms", ARGS=--help
	@$(BIN)/python -W ignore -m bench $(ARGS)

load: install install-dev assets  ## 10,000 events a second and a burst; ARGS="--rate 2000 --seconds 5", ARGS="--url … --key …"
	@$(BIN)/python -W ignore -m bench.pressure $(ARGS)

smoke: install install-dev assets  ## a message through every channel; URL=https://… KEY=… asks another installation
	@$(BIN)/python -W ignore -m bench.smoke --url "$(URL)" --key "$(KEY)"

# Brings the catalogues up to date with the texts in code and templates; `ARGS=it` begins another language.
languages: install  ## brings the catalogues of translations up to date
	@mkdir -p .venv/languages
	@$(BIN)/python -m babel.messages.frontend -q extract -F pyproject.toml -k N_ -k lazy -k plural:1,2 --no-default-keywords \
		-k _ -k gettext -k ngettext:1,2 --add-location=file --omit-header -w 120 -o $(POT) .
	@for name in $(ARGS); do $(BIN)/python -m babel.messages.frontend -q init -i $(POT) -l $$name -w 120 -o $(LANGUAGES)/$$name.po; done
	@for file in $(LANGUAGES)/*.po; do $(BIN)/python -m babel.messages.frontend -q update -i $(POT) -o $$file -l $$(basename $$file .po) \
		--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date -w 120; done

# Newer versions: change a requirements*.txt, and run this. All are resolved together, so that production has what was
# tested; the hashes are those of every system and every Python, and no index is named.
LOCK = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-strip-extras
lock: install-dev  ## pins all that is installed, with hashes, and lists it in sbom.cdx.json
	@$(LOCK) $(wildcard requirements*.txt) -o requirements-dev.lock
	@for list in $(filter-out requirements-dev,$(basename $(wildcard requirements*.txt))); do \
		$(LOCK) -c requirements-dev.lock $$list.txt -o $$list.lock || exit 1; done
	@$(BIN)/python -m docs.sbom

# What mail programs drop, for the warnings of the template editor. Needs Node.js and npm.
client-support: install  ## what mail programs drop, for the warnings of the editor
	@npm install --no-save --no-fund --silent --prefix .venv/caniemail caniemail@2
	@$(BIN)/python -m docs.client_support .venv/caniemail/node_modules/caniemail

client-types: install  ## the types of clients/javascript, when the API has changed (needs npm)
	@$(BIN)/python -m docs.client_types

# What has been installed is remembered as a copy of the list it was installed from.
install:
	@test -e .venv/ready && $(BIN)/python -c '' 2>/dev/null || { $(create); }
	@$(call installed,requirements.lock)

install-dev: install
	@$(call installed,requirements-dev.lock)

PIP_INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r
installed = cmp -s $(1) .venv/$(1) || { $(call patiently,Installing $(1) (this takes a minute),$(PIP_INSTALL) $(1)) && cp $(1) .venv/$(1); }

# A dot every other second says that it is still at work. The dots end with the shell that prints them, however it ends.
patiently = { printf '%s ' "$(1)"; while sleep 2 && kill -0 $$$$ 2>/dev/null; do printf .; done & dots=$$!; $(2); code=$$?; kill $$dots; echo; (exit $$code); }

create = test -n "$(PYTHON)" || { echo "Notifier needs Python 3.11 or newer. Install it, or name it: PYTHON=/path/to/python3.12 make run"; exit 1; }; \
	echo "Creating .venv with $$($(PYTHON) --version) …"; $(PYTHON) -m venv --clear .venv && touch .venv/ready

# static/built: what browsers load (assets.mjs). Needs Node.js; where there is none it comes as a wheel.
assets: install
	@PATH="$$PWD/$(BIN):$$PATH"; \
		node -e 'process.exit(parseInt(process.versions.node) < 20)' 2>/dev/null && npm --version >/dev/null 2>&1 || $(PIP_INSTALL) requirements-node.lock; \
		node assets.mjs --check || { \
			cmp -s package-lock.json node_modules/package-lock.json || { $(call patiently,Fetching the browser libraries,npm ci --no-fund --silent) && cp package-lock.json node_modules/; } && \
			echo "Making what browsers load …" && node assets.mjs; }
