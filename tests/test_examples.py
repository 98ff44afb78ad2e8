"""The examples of docs/examples, run as a reader would run them."""

import os
import subprocess
import sys

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
