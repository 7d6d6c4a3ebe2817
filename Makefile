# Everything a fresh machine with Python 3.11, git and make needs: each target makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517

.PHONY: demo test check bench docs package pictures lint types imports clean

# The page in a browser; without a display, the conversation in the terminal.
demo: $(VENV)/core
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; \
		then $(BIN)/kochava-bot demo; else $(BIN)/kochava-bot demo --headless; fi

test: $(VENV)/test
	@$(BIN)/python -m pytest -q

check: lint types imports

lint: $(VENV)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/dev
	@$(BIN)/mypy

imports: $(VENV)/dev
	@$(BIN)/lint-imports

bench: $(VENV)/bench
	@$(BIN)/python -m benchmarks

# Warnings are errors (`strict` in mkdocs.yml). The variable silences an advertisement.
docs: $(VENV)/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'open site/index.html'

package: $(VENV)/dev
	@rm -rf build dist
	@$(BIN)/python -m build --outdir dist . >/dev/null
	@.ci/smoke $(BIN)/python dist/*.whl dist/*.tar.gz

# Needs Chromium: .ci/chromium installs it.
pictures: $(VENV)/test
	@$(BIN)/python -m docs.make_pictures

clean:
	rm -rf $(VENV) build dist site *.egg-info

$(VENV)/core: $(BIN)/python setup.cfg setup.py
	@$(PIP) --editable .
	@touch $@

$(VENV)/test: $(BIN)/python setup.cfg setup.py
	@$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/bench: $(BIN)/python setup.cfg setup.py
	@$(PIP) --editable '.[test,bench]'
	@touch $@

$(VENV)/dev: $(BIN)/python setup.cfg setup.py
	@$(PIP) --editable '.[test,bench,dev]'
	@touch $@

$(VENV)/docs: $(BIN)/python setup.cfg setup.py
	@$(PIP) --editable '.[docs]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3.11'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo 'The venv module is missing: install it (Debian and Ubuntu: apt install python3-venv)'; exit 1; }
	@$(PYTHON) -m venv $(VENV)
