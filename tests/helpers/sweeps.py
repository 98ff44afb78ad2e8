"""A sweep whose runs are made by `sweep_trainer`."""

import json
import subprocess
import sys

import pytest
import small_runs

from ass_tf.studies import cells

TESTS = small_runs.ROOT / "tests/helpers"


TRAINER = [sys.executable, str(TESTS / "sweep_trainer.py")]


METHODS = {"oracle": "oracle.json", "csa": "csa.json"}


START = f"""
import signal, sys
from ass_tf import sweep
from ass_tf.studies import cells
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with SIGINT ignored
    cells.TRAIN = {TRAINER}
    sys.exit(sweep.main())
"""


@pytest.fixture
def plan(tmp_path):
    """Writes a sweep's file and the settings it names."""

    def write(**changes):
        for method in ("oracle", "joint", "csa"):
            settings = small_runs.settings(tmp_path / "scenes", method=method)
            (tmp_path / f"{method}.json").write_text(json.dumps(settings))
        content = {"methods": METHODS, "labelled": [2, "all"], "seeds": [0, 1], **changes}
        (tmp_path / "plan.json").write_text(json.dumps(content))
        return tmp_path / "plan.json"

    return write


@pytest.fixture(autouse=True)
def trainer(monkeypatch):
    monkeypatch.setattr(cells, "TRAIN", TRAINER)


def start(file, out, *words):
    words = [sys.executable, "-c", START, "--config", str(file), "--out", str(out), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, cwd=small_runs.ROOT, start_new_session=True, text=True, **pipes)


def completed(out):
    return sorted((out / "completed.log").read_text().splitlines())
