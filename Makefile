# One target a job; `make install` makes .venv once and again only when the project's requirements change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-all test-diffusers test-boltz test-bioemu2 bench bench-peers docs figures gallery clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing leastwork, torch and the tools for tests into $(VENV), once: a few minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,protein]'
	touch $@

demo: install
	@rm -rf runs/demo runs/demo.partial
	@echo "The demonstration: leastwork run chignolin, a protein model corrected by one measured number, and guided to its"
	@echo "transition states. It says in a moment what it does, where its report comes and when it will end."
	$(BIN)/leastwork run chignolin --out runs/demo

# Types are checked beside the tests and told after them; a core has one process, so each is told to run one thread.
test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "pyright, and pytest"; $(BIN)/pyright > $(VENV)/types.txt 2>&1 & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist worksteal; tests=$$?; \
	wait $$types; types=$$?; echo "pyright:"; cat $(VENV)/types.txt; test $$types -eq 0 && exit $$tests

# torchvision, which azula and torchdyn name but no test needs, is built against torch with CUDA: beside the CPU build
# diffusers fails to import. So these come without what they name.
test-all: install
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[diffusers,flow-matching]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps azula torchcfm torchdyn
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt einops POT torchdiffeq
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist worksteal -m 'slow or not slow'
	$(if $(BIOEMU),scripts/test_bioemu.sh)

# Transformers and Modular pipelines of diffusers, in an environment of their own.
test-diffusers:
	scripts/test_diffusers.sh

# The diffusion modules of Boltz and BioEmu2, likewise.
test-boltz:
	scripts/test_boltz.sh

# All of BioEmu2, which takes Python 3.12 and 5.5 GB.
test-bioemu2:
	scripts/test_bioemu2.sh

bench: install
	$(BIN)/python -m benchmarks.all

# The problems of other papers, into docs/peers.md.
bench-peers: install
	$(BIN)/python -m benchmarks.peers.all

figures: install
	$(BIN)/python -m benchmarks.figures

# Reports of the bundled runs, opened in the system's Chromium, into docs/gallery.md.
gallery: install
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(BIN)/python scripts/gallery.py

docs: install
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

clean:
	rm -rf $(VENV) site runs .pytest_cache .ruff_cache
