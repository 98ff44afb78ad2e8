# Every target sets up .venv by itself. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow lint bench check-kill check-memory clean

demo: $(INSTALLED)
	$(RUN) -m ass_tf.demo $(DEMO)

test: $(INSTALLED)
	$(RUN) -m pytest -q

test-slow: $(INSTALLED)
	$(RUN) -m pytest -q -m slow

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

bench: $(INSTALLED)
	$(RUN) tests/bench_step.py
	$(RUN) tests/bench_pipeline.py

check-kill: $(INSTALLED)
	$(RUN) tests/check_kill.py

check-memory: $(INSTALLED)
	$(RUN) tests/check_memory.py

$(INSTALLED): setup.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
