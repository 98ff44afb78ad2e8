"""The examples of docs/examples, run as a reader would run them."""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import small_runs
import tool_files
from PIL import Image

from ass_tf import labels, streets

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


@pytest.mark.slow
def test_labelme_files_become_a_model_and_a_page(tmp_path):
    """Seven photographs, five of them annotated, two of these to validate on."""
    streets.write_cityscapes(tmp_path / "drawn", {"train": 7}, 0, (64, 128))
    truths = {}
    for n, image in enumerate(sorted((tmp_path / "drawn/leftImg8bit").rglob("*.png"))):
        label = str(image).replace("leftImg8bit", "gtFine", 1).replace("_leftImg8bit.png", "_gtFine_labelIds.png")
        truth = np.asarray(Image.open(label)).astype(int)
        if n < 5:
            names = [(labels.CITYSCAPES_RAW[i][0], corners) for i, corners in tool_files.rectangles(truth)]
            shapes = [tool_files.labelme_shape(*shape) for shape in names]
            tool_files.labelme(tmp_path / "shots", f"p{n}", shapes, imageHeight=64, imageWidth=128)
            truths[f"p{n}"] = truth
        shutil.copy(image, tmp_path / f"shots/p{n}.png")
    small = ["model.backbone=tiny", "model.weights=null", "model.rates=[2,4]", "train.steps=2"]
    sizes = ["target.size=[64,128]", "validation.size=[64,128]"]
    done = run("bash", EXAMPLES / "labelme_to_page.sh", "shots", *small, *sizes, cwd=tmp_path, VALIDATION="2")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs/labelme"
    for name, truth in truths.items():
        table = np.vectorize(lambda i: labels.CITYSCAPES_RAW[i][0])
        assert (tool_files.label_of(out / "data", name) == table(truth)).all()
    assert [(out / f"data/{role}.txt").read_text().split() for role in ("labelled", "validation")] == [
        ["p0", "p2", "p4"],
        ["p1", "p3"],
    ]
    assert len(list((out / "segmented").glob("*_overlay.*"))) == 7
    assert (out / "page/model.onnx").read_bytes() == (out / "run/export/model.onnx").read_bytes()
    assert (out / "page/index.html").exists()


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


def stand_ins(folder, srun='#!/bin/sh\nexec "$@"\n'):
    """An environment .venv in a folder, in which Slurm's commands are ours."""
    (folder / "bin").mkdir()
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text(f'PATH="{folder}/bin:$PATH"\n')
    scripts = {
        "srun": srun,
        "scontrol": f'#!/bin/sh\necho "$@" >> {folder}/asked\n',
        "ass-tf": f'#!/bin/sh\nexec {sys.executable} -m ass_tf "$@"\n',
        "ass-tf-infer": f'#!/bin/sh\nexec {sys.executable} -m street_inference "$@"\n',
    }
    for name, text in scripts.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)


def array(task, count):
    """The variables that Slurm gives a task of an array."""
    ids = {"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": count}
    return {key: str(value) for key, value in ids.items()}


@pytest.mark.slow
@pytest.mark.skipif(keras.__version__.startswith("2."), reason="several workers need Keras 3")
def test_slurm_job_is_queued_again_when_a_worker_is_gone_and_goes_on(tmp_path):
    stand_ins(tmp_path, SRUN.format(python=sys.executable, job=os.getpid()))
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


@pytest.mark.slow
def test_slurm_array_works_on_a_sweep_and_is_queued_again_for_what_is_left(tmp_path):
    stand_ins(tmp_path)
    train = {"steps": 1, "checkpoint_every": 1, "validate_every": 1}
    settings = small_runs.settings(small_runs.draw_scenes(tmp_path), method="oracle", train=train)
    (tmp_path / "oracle.json").write_text(json.dumps(settings))
    plan = {"methods": {"oracle": "oracle.json"}, "labelled": [2], "seeds": [0, 1, 2]}
    (tmp_path / "mine.json").write_text(json.dumps({**plan, "seeds": [0]}))
    words = "bash", EXAMPLES / "slurm_sweep.sh", "mine.json"
    assert run(*words, cwd=tmp_path, **array(1, 2)).returncode == 0
    (tmp_path / "mine.json").write_text(json.dumps(plan))
    (tmp_path / "runs/mine/status/oracle-2-0.json").write_text('{"minutes": 800}')
    short = run(*words, cwd=tmp_path, **array(2, 2))
    assert (short.returncode, (tmp_path / "asked").read_text()) == (75, "requeue 40_2\n"), short.stderr
    with concurrent.futures.ThreadPoolExecutor() as pool:
        tasks = [pool.submit(run, *words, cwd=tmp_path, MAX_HOURS="20", **array(task, 2)) for task in (1, 2)]
    assert [task.result().returncode for task in tasks] == [0, 0]
    assert len(list((tmp_path / "runs/mine").glob("*/result.json"))) == 3


def test_slurm_array_segments_all_photographs(model, tmp_path):
    stand_ins(tmp_path)
    (tmp_path / "in/a").mkdir(parents=True)
    for index in range(5):
        Image.fromarray(np.full((32, 48, 3), 40 * index, np.uint8)).save(tmp_path / f"in/a/{index}.png")
    (tmp_path / "in/broken.png").write_bytes(b"")
    words = "bash", EXAMPLES / "slurm_infer.sh", model, "in", "out"
    for task in (1, 2):
        done = run(*words, cwd=tmp_path, **array(task, 2))
        assert done.returncode == 0, done.stderr
    assert run(sys.executable, "-m", "street_inference", "join", "out", cwd=tmp_path).stdout.endswith(
        "summary.csv: 5 images, 1 skipped\n"
    )
    assert len(list((tmp_path / "out/a").glob("*_labels.png"))) == 5
