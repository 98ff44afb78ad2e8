"""Training as a user runs it: processes that are stopped, killed and go on."""

import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_runs import LOSSES, MEASURES, ROOT, assert_identical, content, log_of, start, tensors, wait_for

from ass_tf import config, evaluate, train
from ass_tf.runs.folder import RunFolder


@pytest.fixture(scope="session")
def runs(file, tmp_path_factory):
    """Two runs of the same settings at the same time.

    One is undisturbed. The other is stopped by SIGTERM after the first record, then by kill -9 after another snapshot,
    then let go on.
    """
    whole, run = tmp_path_factory.mktemp("whole") / "run", tmp_path_factory.mktemp("parts") / "run"
    undisturbed = start(file, whole)
    first = start(file, run)
    wait_for(lambda: (run / "log.jsonl").exists() and (run / "log.jsonl").stat().st_size, first)
    first.terminate()
    out, err = first.communicate()
    saved = list(RunFolder(run).snapshots())
    second = start(file, run)
    wait_for(lambda: list(RunFolder(run).snapshots()) != saved, second)
    second.kill()
    second.communicate()
    killed = not (run / "result.json").exists()
    third = start(file, run)
    rest = third.communicate()
    stopped = SimpleNamespace(status=first.returncode, out=out, err=err, saved=saved)
    interrupted = SimpleNamespace(run=run, stopped=stopped, killed=killed, status=third.returncode, rest=rest)
    out, err = undisturbed.communicate()
    finished = SimpleNamespace(run=whole, status=undisturbed.returncode, out=out, err=err)
    return SimpleNamespace(finished=finished, interrupted=interrupted)


@pytest.fixture(scope="session")
def finished(runs):
    return runs.finished


@pytest.fixture(scope="session")
def interrupted(runs):
    return runs.interrupted


def test_run_ends_with_status_0_and_tells_losses_speed_time_left_and_scores_in_plain_lines(finished):
    assert finished.status == 0, finished.err
    lines = finished.out.splitlines()
    assert lines[0] == f"run folder: {finished.run}"
    assert [line.split()[1] for line in lines if " images/s " in line] == ["3/14", "6/14", "9/14", "12/14", "14/14"]
    assert all("seg_source" in line and line.endswith(" left") for line in lines if " images/s " in line)
    assert [line for line in lines if line.startswith("step 8: mIoU ")]
    assert lines[-1] == f"results: {finished.run / 'result.json'}"
    assert "\x1b" not in finished.out
    assert "Traceback" not in finished.err


def test_run_folder_holds_settings_versions_data_lists_log_snapshots_and_results(finished, file):
    run = finished.run
    assert config.load(run / "config.json") == config.load(file)
    record = json.loads((run / "run.json").read_text())
    assert record["initial_weights"] == "random"
    assert len(record["sessions"]) == 1
    session = record["sessions"][0]
    assert set(session["versions"]) == {"ass_tf", "python", "tensorflow", "keras", "numpy", "pillow"}
    assert session["command"][1:] == ["--config", str(file), "--run", str(run)]
    assert session["replicas"] == 1
    assert set(json.loads((run / "data/tables.json").read_text())) == {"source", "labelled", "validation"}
    lists = {p.stem: p.read_text().splitlines() for p in (run / "data").glob("*.txt")}
    assert {role: len(names) for role, names in lists.items()} == {
        "source": 4,
        "labelled": 2,
        "unlabelled": 4,
        "validation": 2,
    }
    assert set(lists["labelled"]) < set(lists["unlabelled"])
    result = json.loads((run / "result.json").read_text())
    assert (result["method"], result["labelled_images"], result["last"]["step"]) == ("csa", 2, 14)
    assert result["best"]["step"] in (8, 14)
    assert list(RunFolder(run).snapshots()) == sorted({result["best"]["step"], 14})


def test_log_has_the_mean_of_every_loss_each_n_steps_and_the_validations(finished):
    records = log_of(finished.run)
    assert [record["step"] for record in records] == [3, 6, 7, 8, 9, 12, 14, 14, 14]
    for record in records:
        if "validation" in record:
            assert record["step"] in (8, 14)
            assert len(record["validation"]["iou"]) == 19
        elif "gradient_shares" in record:
            assert record["step"] in (7, 14)
            assert set(record["gradient_shares"]) == LOSSES
            assert sum(record["gradient_shares"].values()) == pytest.approx(1)
        else:
            assert set(record) == {"step", *LOSSES, *MEASURES}
    last = json.loads((finished.run / "log.jsonl").read_text().splitlines()[0])
    assert last["images_per_second"] > 0
    assert 0 <= last["waiting_share"] <= 1
    assert last["memory_mb"] > 50


def test_tensorboard_has_scalars_of_every_loss_and_an_image_of_every_validation(finished):
    shown = {"scalars": {}, "images": {}}
    for events in (finished.run / "tensorboard").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(events)):
            for value in event.summary.value:
                kind = value.metadata.plugin_data.plugin_name
                shown[kind].setdefault(value.tag, []).append(event.step)
                if kind == "images":
                    height, width = (int(side) for side in value.tensor.string_val[1::-1])
                    picture = tf.image.decode_png(value.tensor.string_val[2])
                    assert picture.shape == (height, width, 3)
    assert shown["images"] == {"validation": [8, 14]}
    for name in LOSSES | MEASURES:
        assert shown["scalars"][name] == [3, 6, 9, 12, 14]
    for name in LOSSES:
        assert shown["scalars"][f"gradient_shares/{name}"] == [7, 14]
    assert shown["scalars"]["validation/miou"] == [8, 14]


def test_run_folder_keeps_pictures_and_where_the_features_lie(finished):
    kept = {p.name for p in (finished.run / "pictures").iterdir()}
    assert kept == {f"{i}_{kind}.png" for i in range(2) for kind in ("image", "truth", "prediction")}
    before, after = (dict(np.load(finished.run / f"features/{when}.npz")) for when in ("before", "after"))
    for means in (before, after):
        assert {name: array.shape[:1] for name, array in means.items()} == {
            "source": (19,),
            "target": (19,),
            "spread": (),
        }
    road = 0
    assert np.isfinite(after["target"][road]).all()
    assert (before["target"][road] != after["target"][road]).any()


def test_same_command_on_a_finished_run_says_so_and_changes_nothing(finished, file, capsys):
    before = content(finished.run)
    assert train.main(["--config", str(file), "--run", str(finished.run)]) == 0
    assert content(finished.run) == before
    out = capsys.readouterr().out.splitlines()
    assert out[1] == f"{finished.run}: finished before; nothing is left to do."
    assert out[2].startswith("last: step 14, mIoU ")


def test_sigterm_saves_first_and_exits_with_143(interrupted):
    stopped = interrupted.stopped
    assert stopped.status == 143, stopped.err
    assert len(stopped.saved) == 1
    assert 3 <= stopped.saved[0] < 14
    assert stopped.out.splitlines()[-1] == (
        f"{interrupted.run}: saved step {stopped.saved[0]}; the same command goes on from there."
    )
    assert "Traceback" not in stopped.err


def test_run_stopped_by_sigterm_and_kill_9_arrives_at_the_undisturbed_runs_weights_log_and_results(
    interrupted, finished
):
    assert interrupted.killed
    assert interrupted.status == 0, interrupted.rest
    assert f"{interrupted.run}: going on after step " in interrupted.rest[0]
    assert len(json.loads((interrupted.run / "run.json").read_text())["sessions"]) == 3
    assert_identical(interrupted.run, finished.run)


def test_evaluate_scores_the_run(finished, interrupted):
    words = [
        sys.executable,
        "-m",
        "ass_tf.evaluate",
        "--run",
        str(interrupted.run),
        "--out",
        str(interrupted.run / "e"),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trained = json.loads((finished.run / "result.json").read_text())
    scored = json.loads((interrupted.run / "e" / "result.json").read_text())
    for which in ("last", "best"):
        assert scored[which]["step"] == trained[which]["step"]
        assert scored[which]["miou"] == pytest.approx(trained[which]["miou"], abs=1e-6)
    assert scored["labelled_images"] == 2


def test_loss_that_is_not_finite_stops_the_run_with_the_step_and_the_term(file, tmp_path, capsys):
    words = ["method=joint", "optimiser.lr=1e30", "train.deterministic=false"]
    assert train.main(["--config", str(file), "--run", str(tmp_path / "run"), "--set", *words]) == 1
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if not line.startswith("checking the data")] == err[-1:]
    assert err[-1].startswith("error: step ")
    assert "segmentation_loss_source must be finite. Received: " in err[-1]
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
def test_validation_judges_the_network_in_float32_as_evaluate_does(file, tmp_path):
    """In bfloat16 the predictions of this network differ in a good part of the pixels."""
    words = ["train.precision=mixed_bfloat16", "train.steps=2", "method=joint", "train.feature_images=0"]
    assert train.main(["--config", str(file), "--run", str(tmp_path / "run"), "--set", *words]) == 0
    trained = json.loads((tmp_path / "run/result.json").read_text())["last"]
    scored = evaluate.evaluate_run(tmp_path / "run", snapshot="last", strips=0)["last"]
    assert scored["confusion"] == trained["confusion"]
    assert keras.mixed_precision.global_policy().name == "float32"  # as it was before the command


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_run_of_lower_precision_keeps_float32_weights(file, tmp_path, precision):
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(tmp_path / "run")]
    words += ["--set", f"train.precision={precision}", "train.steps=3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values = tensors(RunFolder(tmp_path / "run").snapshots()[3])
    assert {value.dtype for value in values.values() if value.dtype.kind == "f"} == {np.dtype("float32")}
    assert ("loss_scale/.ATTRIBUTES/VARIABLE_VALUE" in values) == (precision == "mixed_float16")
