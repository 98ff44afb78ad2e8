# Every target sets up .venv by itself. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Of this spelling pip takes a build without CUDA where PyPI's own are of that kind.
TORCH ?= torch==2.13.0
# Two processes, a file of tests in one of them: most tests keep one core busy.
TWO := -n 2 --dist loadfile
# COVERAGE=1: `make test` and `make test-slow` also count the branches that they take.
COUNTED = $(if $(COVERAGE),--cov --cov-append --cov-report=)
# How often `make check-kill` kills, how many bad inputs `make check-inputs` tries, photographs of `make check-many`.
KILLS ?= 20
INPUTS ?= 1000
PHOTOGRAPHS ?= 100000
# TensorFlow Addons needs TensorFlow 2.15, which needs Python 3.10 or 3.11.
OLD := .venv-addons
LABELS := .venv-labels
OLD_VERSIONS := import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))

.PHONY: demo study test test-slow test-torch test-serving test-page test-tools test-addons parity lint bench check-kill check-workers check-sweep check-many check-ray check-report check-memory check-inputs check-earlier docs coverage wheel clean

demo: $(INSTALLED)
	$(RUN) -m ass_tf.demo $(DEMO)

study: $(INSTALLED)
	$(RUN) -m ass_tf.streets runs/study/data --source 300 --target 150 --val 60 --size 192x384
	$(RUN) -m ass_tf.sweep --config configs/demo_table.json --out runs/study/demo_table --processes 2; status=$$?; \
	    $(RUN) -m ass_tf.report runs/study/demo_table --out runs/study/report && exit $$status

test: $(INSTALLED)
	$(RUN) -m pytest -q $(TWO) $(COUNTED)

test-slow: $(INSTALLED)
	$(RUN) -m pytest -q $(TWO) -m slow $(COUNTED)

test-torch: $(VENV)/.torch
	$(RUN) -m pytest -q $(TWO) -m "slow or not slow" tests/weights/test_parity.py tests/weights/test_torch_files.py tests/weights/test_weights.py tests/weights/test_lite.py

# Against the schemas that TensorFlow Serving and Triton publish.
test-serving: $(VENV)/.schemas
	$(RUN) -m pytest -q tests/export/test_to_server.py

# The web page in chromium, with onnxruntime-web from npm.
test-page: $(VENV)/.page/.installed
	ONNXRUNTIME_WEB=$(VENV)/.page/node_modules/onnxruntime-web $(RUN) -m pytest -q -m "slow or not slow" $(wildcard tests/commands/test_page*.py)

# Videos and trackers by the packages that they need; annotations by Datumaro, which holds others to older versions.
test-tools: $(VENV)/.tools $(LABELS)/.installed
	$(RUN) -m pytest -q -m "slow or not slow" tests/export/test_video.py tests/export/test_video_errors.py tests/system/test_trackers.py tests/runs/test_tracked_runs.py
	PYTHONPATH=.:export $(LABELS)/bin/python -m pytest -q --confcutdir=tests/annotations tests/annotations

# All but two folders, whose code does not use TensorFlow.
test-addons: $(OLD)/.installed
	$(OLD)/bin/python -m pytest -q $(TWO) -m "slow or not slow" $(addprefix --ignore=tests/,streets studies)

# Branch coverage of both suites; what subprocesses execute counts, too.
coverage: $(INSTALLED)
	rm -f .coverage .coverage.*
	$(MAKE) test-slow COVERAGE=1
	$(MAKE) test COVERAGE=1
	$(RUN) -m coverage report

parity: $(VENV)/.torch
	$(RUN) tests/checks/parity.py

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: $(VENV)/.torch
	$(RUN) tests/bench/bench_step.py
	$(RUN) tests/bench/bench_pipeline.py

check-kill: $(INSTALLED)
	$(RUN) tests/checks/check_kill.py --kills $(KILLS)

check-workers: $(INSTALLED)
	$(RUN) tests/checks/check_workers.py --kills $(KILLS)

check-many: $(INSTALLED)
	$(RUN) tests/checks/check_many.py --count $(PHOTOGRAPHS)

check-ray: $(VENV)/.ray
	$(RUN) tests/checks/check_ray.py

check-sweep: $(INSTALLED)
	$(RUN) tests/checks/check_sweep.py

check-report: $(INSTALLED)
	$(RUN) tests/checks/check_report.py

check-memory: $(INSTALLED)
	$(RUN) tests/checks/check_memory.py

check-inputs: $(VENV)/.torch
	$(RUN) tests/checks/check_inputs.py --count $(INPUTS)

check-earlier: $(INSTALLED)
	$(RUN) tests/checks/check_earlier.py

docs: $(INSTALLED)
	$(RUN) -m ass_tf.config --markdown > docs/settings.part && mv docs/settings.part docs/settings.md

wheel:
	rm -rf build dist
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

# One file that needs numpy, pillow and onnxruntime: python3 infer.pyz MODEL IMAGES --out DIR
infer.pyz: export/infer_onnx.py $(wildcard export/street_inference/*.py)
	rm -rf build/infer && mkdir -p build/infer/street_inference
	cp export/street_inference/*.py build/infer/street_inference
	cp export/infer_onnx.py build/infer/__main__.py
	$(PYTHON) -m zipapp build/infer --compress --python "/usr/bin/env python3" --output $@

$(INSTALLED): setup.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@

$(VENV)/.torch: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check "$(TORCH)" -e ".[lite]"
	touch $@

# Without most of what they need: theirs is another build of TensorFlow and an older protobuf.
$(VENV)/.schemas: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps tensorflow-serving-api tritonclient python-rapidjson
	touch $@

$(VENV)/.page/.installed: $(INSTALLED) ass_tf/page.py
	mkdir -p $(@D)
	npm install --prefix $(@D) --no-audit --no-fund --ignore-scripts --loglevel=error onnxruntime-web@$$($(RUN) -c "from ass_tf import page; print(page.RUNTIME)")
	touch $@

$(VENV)/.tools: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[mlflow,video,wandb]"
	touch $@

$(LABELS)/.installed: setup.py
	$(PYTHON) -m venv $(LABELS)
	$(LABELS)/bin/python -m pip install --quiet --disable-pip-version-check "datumaro>=1.13" numpy pillow pydantic pytest rich
	touch $@

$(VENV)/.ray: $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[ray]"
	touch $@

$(OLD)/.installed: setup.py
	for python in $(PYTHON) python3.11 python3.10; do \
	    $$python -c '$(OLD_VERSIONS)' 2>/dev/null && exec $$python -m venv $(OLD); done; \
	    echo "error: TensorFlow Addons needs Python 3.10 or 3.11: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1
	$(OLD)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test,addons]"
	touch $@

clean:
	rm -rf $(VENV) $(OLD) build dist infer.pyz *.egg-info .coverage
