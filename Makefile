# make demo: from nothing to a working recogniser.  make test: every test.  make: all checks.
# make test-scale: those on several processes, a cluster and object stores.
# make test-pages: the pages in Chromium, where there is one.
# make test-order SEED=1: every test in random order.  make test-min: with the lowest versions.
# make coverage: of lines and branches.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# The tests of a file in one process: what they share, often a trained model, is made once. Files
# begin as they are collected, those of commands first: of these a few tests take the longest.
WORKERS := -n auto --dist loadfile --no-loadscope-reorder
DEMO := demo
LIGHT := build/light

# As speechcls does it, for what imports ONNX Runtime before it.
export ORT_DISABLE_TELEMETRY ?= 1

SEED ?= 0

.PHONY: check test test-scale test-pages test-order test-min coverage install demo format lint types bench bench-check bench-gpu bench-peers torture mutants results pictures docs examples dist-check lesson clean
.DEFAULT_GOAL := check

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest $(WORKERS)

install: $(INSTALLED)

# torch first and exactly: a range could bring a build with gigabytes of CUDA libraries.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,synth,parquet,serve,wyoming,hub]'
	touch $@

test: $(INSTALLED)
	$(BIN)/pytest $(WORKERS)

# Several processes, a cluster and object stores, with the extras that these need: minutes.
test-scale: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[scale]'
	$(BIN)/pytest -n 2 --no-loadscope-reorder tests/scale

# Pages in a real browser: apt install chromium. Without one they are skipped, with the reason.
test-pages: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs,pages]'
	$(BIN)/pytest -n 2 --dist loadfile tests/pages

# The manual, build/docs/index.html, and man pages, build/man. A broken link is an error.
docs: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python benchmarks/manpages.py build/man

# What the commands print on the manual's pages, and in the README: recorded anew, minutes.
examples: $(INSTALLED)
	$(BIN)/python benchmarks/examples.py
	$(BIN)/python benchmarks/transcripts.py README.md

test-order: $(INSTALLED)
	$(BIN)/pytest $(WORKERS) --random-order --random-order-seed=$(SEED)

coverage: $(INSTALLED)
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest $(WORKERS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95

# With the lowest versions that pyproject.toml allows. Downloads a torch with CUDA: gigabytes.
# pyparsing 3.3 deprecates what matplotlib 3.8 calls, and warnings are errors in tests.
MIN := build/min
test-min:
	test -x $(MIN)/bin/uv || ($(PYTHON) -m venv $(MIN) && $(MIN)/bin/pip install --quiet uv)
	$(MIN)/bin/uv pip install --quiet --python $(MIN)/bin/python --resolution lowest-direct \
	  -e '.[dev,synth,parquet,serve,wyoming,hub]' 'pyparsing>=3.2,<3.3'
	$(MIN)/bin/python -m pytest $(WORKERS)

demo: $(INSTALLED)
	rm -rf $(DEMO) && mkdir $(DEMO)
	cd $(DEMO) && ../$(BIN)/speechcls synth yes no stop go --out data --per-word 250
	cd $(DEMO) && ../$(BIN)/speechcls train data --arch gru --hidden-size 64 --epochs 12
	cd $(DEMO) && ../$(BIN)/speechcls evaluate data
	cd $(DEMO) && ../$(BIN)/speechcls predict $$(ls data/stop/*.wav | head -1)
	@echo
	@echo 'That was a whole recogniser, made of synthetic speech. Now with your own recordings,'
	@echo 'one folder a word (data/lights on/1.wav, data/lights off/1.wav, ...):'
	@echo
	@echo '  . .venv/bin/activate'
	@echo '  speechcls train data/'
	@echo '  speechcls evaluate data/'
	@echo '  speechcls predict clip.wav'

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(INSTALLED)
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench.py

# On an idle machine: fails if a ratio is a tenth worse than in docs/BENCHMARKS.md.
bench-check: $(INSTALLED)
	$(BIN)/python benchmarks/bench.py --check

# Four minutes of a GPU: what it makes of training and prediction.
bench-gpu: $(INSTALLED)
	$(BIN)/python benchmarks/gpu.py $(DATA)

# The same sound through other tools, each in an environment of its own in build/peers; gigabytes.
# WHEEL=FILE: livekit-wakeword, where the package index has none.
bench-peers: $(INSTALLED)
	$(BIN)/python benchmarks/peers.py $(if $(WHEEL),--wheel $(WHEEL))

# Hours: what docs/RELIABILITY.md promises, tried at length. Each line may be run alone.
TORN := build/torture
torture: $(INSTALLED)
	mkdir -p $(TORN)
	$(BIN)/python benchmarks/kill_training.py --kills 30 --seed $(SEED)
	$(BIN)/python benchmarks/fuzz_audio.py --inputs 200000 --seed $(SEED) --save $(TORN)/audio --jobs 2
	$(BIN)/python benchmarks/fuzz_artifact.py --inputs 100000 --seed $(SEED) --save $(TORN)/models --jobs 2
	$(BIN)/pytest $(WORKERS) tests/cli/test_train_interrupt.py tests/cli/test_resume.py \
	  tests/cli/test_shortages.py tests/cli/test_hostile_*.py tests/cli/test_tell_nobody.py \
	  tests/unit/test_scratch.py tests/unit/artifact/test_replaced.py
	$(BIN)/python benchmarks/bench_load.py --paths 1000000 --hours 24

# Half an hour: what the tests notice of changes to the modules that decide (docs/RELIABILITY.md).
MUTMUT := build/mutmut
mutants: $(INSTALLED)
	test -x $(MUTMUT)/bin/mutmut || $(BIN)/pip install --quiet --disable-pip-version-check \
	  -c constraints.txt --target $(MUTMUT) mutmut==3.8.1
	rm -rf mutants
	@# A mutant may ask for all memory there is.
	ulimit -v 4194304; PYTHONPATH=$(CURDIR)/$(MUTMUT) OMP_NUM_THREADS=1 $(MUTMUT)/bin/mutmut run
	@PYTHONPATH=$(CURDIR)/$(MUTMUT) $(MUTMUT)/bin/mutmut results --all true | awk \
	  '{ sub(/\.x.*: /, " "); n[$$1]++; killed[$$1] += $$2 == "killed" || $$2 == "timeout" } \
	  END { for (m in n) printf "%s: %d mutants, %d killed, %d survivors\n", m, n[m], killed[m], n[m] - killed[m] }' | sort
	@echo 'One of them: PYTHONPATH=$(CURDIR)/$(MUTMUT) $(MUTMUT)/bin/mutmut show NAME; names: mutmut results'

# Hours: every model of docs/RESULTS.md. What stands in docs/results.json is not done again.
results: $(INSTALLED)
	$(BIN)/python benchmarks/results.py $(DATA) $(BABBLE) $(WHEEL)

# Everything in docs/pictures, from synthetic speech; trains small networks first, minutes. Those of
# the page of serve are taken in Chromium.
pictures: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pictures]'
	$(BIN)/python benchmarks/pictures.py

# The notebook of the lesson, from its pages.
lesson: $(INSTALLED)
	$(BIN)/python benchmarks/lesson.py

# What a release is made of: the source distribution, and the wheel that is built from it, which
# without torch and librosa has to predict with a model trained before. A tag must name the version.
dist-check: $(INSTALLED)
	rm -rf build dist && mkdir -p $(LIGHT)
	@tag=$$(git describe --exact-match --tags 2>/dev/null) || exit 0; \
	  test "$$tag" = "v$$($(BIN)/python -c 'import speechcls; print(speechcls.__version__)')" || \
	  { echo "dist-check: the tag $$tag is not that of the version in speechcls/__init__.py"; exit 1; }
	$(BIN)/python -m build --outdir dist . >$(LIGHT)/build.log 2>&1 || (cat $(LIGHT)/build.log; exit 1)
	cd $(LIGHT) && ../../$(BIN)/speechcls synth yes no --out data --per-word 30
	cd $(LIGHT) && ../../$(BIN)/speechcls train data --arch gru --hidden-size 16 --epochs 2
	$(PYTHON) -m venv $(LIGHT)/venv
	$(LIGHT)/venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-predict.txt
	$(LIGHT)/venv/bin/pip install --quiet --disable-pip-version-check --no-deps dist/*.whl
	cd $(LIGHT) && ! venv/bin/python -c 'import torch' 2>/dev/null
	cd $(LIGHT) && ! venv/bin/python -c 'import librosa' 2>/dev/null
	cd $(LIGHT) && venv/bin/speechcls predict data/yes --model models/data-gru | wc -l | grep -qx 30
	mkdir -p $(LIGHT)/empty && cd $(LIGHT)/empty && ../venv/bin/speechcls predict ../data/yes | wc -l | grep -qx 30
	@echo 'dist-check: the wheel predicts without torch and librosa, with its own model too'

clean:
	rm -rf .venv build dist mutants *.egg-info $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
