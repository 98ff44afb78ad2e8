"""What is wrong with the data or the settings is found before TensorFlow is imported."""

import json
import subprocess
import sys

import pytest
import small_runs

CODE = """
import sys
from ass_tf import train
status = train.main(sys.argv[1:])
sys.exit(f"status {status}, TensorFlow {'tensorflow' in sys.modules}")
"""


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (["source.root=nowhere"], 1, "nowhere: no such folder."),
        (["target.labelled=9"], 1, "target.labelled must be from 1 to 4"),
        (["optimiser.lr=-1"], 2, "optimiser.lr must be greater than 0"),
    ],
)
def test_train_refuses_before_tensorflow_is_imported(scenes, tmp_path, words, status, error):
    file = tmp_path / "small.json"
    file.write_text(json.dumps(small_runs.settings(scenes)))
    command = [sys.executable, "-c", CODE, "--config", str(file), "--run", str(tmp_path / "run"), "--set", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert error in done.stderr
    assert done.stderr.splitlines()[-1] == f"status {status}, TensorFlow False"
