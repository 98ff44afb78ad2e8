"""Names of files and folders: every command works with any that a file system takes, or refuses it before any work."""

import json
import os
import shutil
import signal
import subprocess
import sys

import exports
import numpy as np
import pytest
import small_runs
import tensorflow as tf
from PIL import Image

from ass_tf import adabn, evaluate, report, sweep, train
from ass_tf.export import to_onnx, to_saved_model
from ass_tf.runs import journal
from ass_tf.runs.folder import RunFolder
from ass_tf.system import storage
from ass_tf.weights import __main__ as weights_command

NAMES = ["a [1]*?\\{0} %s für 街", "c [1]", "*?", "[", " {0} %s", "n" * 200]
TRAIN = {"steps": 2, "validate_every": 1, "checkpoint_every": 1, "log_every": 1, "shares_every": 0, "feature_images": 1}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def place(name, scenes, tmp_path, monkeypatch):
    """A working directory of that name with settings of that name, and data in a folder of that name."""
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copytree(scenes / "gta5", folder / f"{name}g")
    shutil.copytree(scenes / "cityscapes", folder / name)
    plain = small_runs.settings(folder, method="joint", train=TRAIN)
    for section, root in (("source", f"{name}g"), ("target", name), ("validation", name)):
        plain[section]["root"] = root
    (folder / f"{name}.json").write_text(json.dumps(plain), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_every_command_works_in_folders_and_with_files_of_any_name(place, name, monkeypatch, capsys):
    step = journal.Journal.step

    def stopping(self, number, *given):
        step(self, number, *given)
        if number == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(journal.Journal, "step", stopping)
    with pytest.raises(SystemExit):
        train.main(["--config", f"{name}.json"])
    assert train.main(["--config", f"{name}.json"]) == 0
    (run,) = (place / "runs").iterdir()
    assert run.name.startswith(f"{name}-")
    assert list(RunFolder(run).snapshots())[-1] == 2
    assert evaluate.main(["--run", str(run), "--snapshot", "both", "--out", name + "e"]) == 0
    assert report.main([str(run), "--out", name + "r"]) == 0
    assert weights_command.main([str(run), "--out", f"{name}.safetensors"]) == 0
    assert adabn.main(["--run", str(run), "--out", f"{name}a", "--count", "2"]) == 0
    assert evaluate.main(["--run", f"{name}a"]) == 0
    assert to_onnx.main(["--run", str(run), "--out", f"{name}.onnx"]) == 0
    assert to_saved_model.main(["--run", str(run), "--out", f"{name}s"]) == 0
    models = [f"{name}.onnx", f"{name}s", str(run)]
    words = [sys.executable, str(exports.EXPORT / "bench.py"), *models, "--size", "32x64", "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")] == []


def test_inference_takes_models_images_and_folders_of_any_name(model, name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(model, folder / f"{name}.onnx")
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(folder / f"{name}.png")
    done = exports.infer(folder / f"{name}.onnx", folder, "--out", tmp_path / f"{name}out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / f"{name}out").iterdir())) == 4


@pytest.mark.slow
def test_sweep_of_any_name_goes_on_where_it_stopped(place, name, capsys):
    (place / f"{name}s.json").write_text(json.dumps({"methods": {"joint": f"{name}.json"}, "labelled": [2]}))
    file = f"{name}s.json"
    assert sweep.main(["--config", file]) == 0, capsys.readouterr()
    (out,) = (place / "runs").iterdir()
    (out / "joint-2-0/result.json").unlink()  # as if it had been killed
    assert sweep.main(["--config", file]) == 0
    assert (out / "joint-2-0/result.json").exists()
    assert report.main([str(out)]) == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("", "must not be empty"),
        ("a\nb", "must not hold control characters. Received: a\\nb."),
        ("a\x1bb", "must not hold control characters"),
        (os.fsdecode(b"a\xff"), "must be UTF-8"),
        ("n" * 256, "must have parts of at most 255 bytes"),
    ],
)
def test_names_that_cannot_be_are_refused_before_any_work(file, tmp_path, monkeypatch, capsys, bad, message):
    monkeypatch.chdir(tmp_path)
    for command, words in ((train, ["--config", str(file), "--run"]), (evaluate, ["--run", str(tmp_path), "--out"])):
        with pytest.raises(SystemExit) as caught:
            command.main([*words, bad])
        assert caught.value.code == 2
        assert f"error: argument {words[-1]}: a name {message}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_saved_model_is_read_through_a_plain_name(tmp_path):
    module = tf.Module()
    module.serve = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec((), tf.float32)])
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "m[1]"))
    with storage.literal_path(tmp_path / "m[1]") as path:
        assert tf.saved_model.load(path).weight == 1.0
