"""The examples of docs/examples, run as a reader would run them."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import small_runs
from PIL import Image

EXAMPLES = small_runs.ROOT / "docs/examples"


def run(*words, cwd, **environment):
    paths = os.pathsep.join(str(small_runs.ROOT / folder) for folder in ("", "export"))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHON": sys.executable, **environment}
    return subprocess.run(
        [str(w) for w in words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_own_folders_become_a_model_that_labels_new_photographs(tmp_path):
    done = run("bash", EXAMPLES / "own_folders.sh", cwd=tmp_path, STEPS="2")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs/own_folders"
    assert len(list((out / "segmented").glob("*_labels.png"))) == len(list((out / "validation/images").iterdir())) == 4
    photograph = min((out / "validation/images").iterdir())

    words = "infer.py", out / "run/export/model.onnx", photograph, tmp_path / "labels.png"
    done = run(sys.executable, EXAMPLES / words[0], *words[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shares = [float(line.split()[-1].removesuffix("%")) for line in done.stdout.splitlines()]
    assert len(shares) == 6
    assert sum(shares) == pytest.approx(100, abs=0.1)
    labels = np.asarray(Image.open(tmp_path / "labels.png"))
    assert labels.shape == (64, 128)
    assert labels.max() < 6

    # The folders given by name, as with data of one's own.
    folders = [out / name for name in ("rendered", "photographs", "validation", "validation/images")]
    done = run("bash", EXAMPLES / "own_folders.sh", *folders, cwd=tmp_path, STEPS="1", OUT="other")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "other/segmented/summary.csv").exists()


SRUN = """#!{python}
import os, subprocess, sys
# Two tasks, with the variables of the manual page of srun.
words = [word for word in sys.argv[1:] if not word.startswith("--kill-on-bad-exit")]
tasks = []
for task in range(2):
    step = {{"SLURM_JOB_ID": "{job}", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2",
            "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task), "SLURM_NTASKS": "2", "SLURM_DISTRIBUTION": "block"}}
    tasks.append(subprocess.Popen(words, env={{**os.environ, **step}}))
if os.environ.get("KILLED"):
    while not os.path.exists(os.environ["KILLED"]):
        pass
    tasks[1].kill()
sys.exit(max(code if code >= 0 else 128 - code for code in [task.wait() for task in tasks]))
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.__version__.startswith("2."), reason="several workers need Keras 3")
def test_slurm_job_is_queued_again_when_a_worker_is_gone_and_goes_on(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").write_text(f'PATH="{tmp_path}/bin:$PATH"\n')
    scripts = {
        "srun": SRUN.format(python=sys.executable, job=os.getpid()),
        "scontrol": f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n',
        "ass-tf": f'#!/bin/sh\nexec {sys.executable} -m ass_tf "$@"\n',
    }
    for name, text in scripts.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    train = {"steps": 30, "checkpoint_every": 5, "validate_every": 30, "log_every": 5}
    changes = {"batch": {"source": 2, "labelled": 2, "unlabelled": 2}, "train": train}
    plain = small_runs.settings(small_runs.draw_scenes(tmp_path), **changes)
    (tmp_path / "mine.json").write_text(json.dumps(plain))
    words = "bash", EXAMPLES / "slurm_train.sh", "mine.json"
    snapshot = tmp_path / "runs/mine/snapshots/step-00000010"
    first = run(*words, cwd=tmp_path, SLURM_JOB_ID="7", KILLED=str(snapshot))
    assert (first.returncode, (tmp_path / "asked").read_text()) == (137, "requeue 7\n"), first.stderr
    assert "has gone; start all workers again." in first.stderr
    assert not (tmp_path / "runs/mine/result.json").exists()
    again = run(*words, cwd=tmp_path, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="1")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "runs/mine/result.json").read_text())["last"]["step"] == 30
    sessions = json.loads((tmp_path / "runs/mine/run.json").read_text())["sessions"]
    assert [len(session["workers"]) for session in sessions] == [2, 2]
