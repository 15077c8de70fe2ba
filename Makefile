# All targets set up everything themselves in $(VENV); they need Python >= 3.11.
VENV ?= .venv
EXTRAS ?= dev
# Neighbouring tests share programs and fixtures: workers get them in runs.
PYTEST_FLAGS ?= -n auto --dist worksteal
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)

.PHONY: demo test test-all lint docs clean

# The main job: which labels to fix next, on the digits that scikit-learn bundles.
demo: $(VENV)/installed-experiments
	$(VENV)/bin/python -m experiments.label_correction --preset=digits

# Without what is marked slow.
test: $(VENV)/installed-$(EXTRAS)
	$(VENV)/bin/python -m pytest $(PYTEST_FLAGS) -m "not slow"

test-all: $(VENV)/installed-$(EXTRAS)
	$(VENV)/bin/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/installed-$(EXTRAS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The site, under build/docs; a warning is an error. Needs no network.
docs: $(VENV)/installed-docs
	rm -rf build/docs
	$(VENV)/bin/python -m sphinx -W --keep-going -j auto -d build/doctrees \
		$(SPHINX_FLAGS) docs build/docs

$(VENV)/installed-%: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 not found; set PYTHON" >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV)
