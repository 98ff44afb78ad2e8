"""Runs that trackers follow: as others but for that, and in one tracked run however often they go on."""

import json
import subprocess
import sys

import pytest
import small_runs
import tracked
from small_runs import ROOT, log_of, tensors, wait_for

from ass_tf import config, train
from ass_tf.runs import claiming, session
from ass_tf.runs.folder import RunFolder

FOLLOWED = ["mlflow", "wandb"]


def settings_file(scenes, tmp_path, **train):
    plain = small_runs.settings(scenes)
    plain["train"] = {**plain["train"], **train}
    file = tmp_path / "small.json"
    file.write_text(json.dumps(plain))
    return file


def test_trackers_neither_change_the_default_folder_nor_bar_a_run_from_going_on(scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = config.load(settings_file(scenes, tmp_path))
    followed = config.load(tmp_path / "small.json", ['train.trackers=["mlflow", "wandb"]'])
    run = session.default_run("small.json", plain)
    assert session.default_run("small.json", followed) == run
    earlier = tmp_path / "runs/small-00000000"  # another digest, as of an earlier version
    earlier.mkdir(parents=True)
    (earlier / "config.json").write_text(config.dump(followed))
    for settings in (plain, followed):
        assert session.default_run("small.json", settings).resolve() == earlier
    assert claiming.changes(RunFolder(earlier), plain) == {"train.trackers": (["mlflow", "wandb"], [])}
    record = json.loads((earlier / "config.json").read_text())
    del record["train"]["trackers"]  # as of a version without them
    (earlier / "config.json").write_text(json.dumps(record))
    assert claiming.changes(RunFolder(earlier), plain) == {}


@pytest.mark.parametrize("name", FOLLOWED)
def test_missing_package_ends_a_run_before_it_begins(scenes, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setitem(sys.modules, name, None)
    file, run = settings_file(scenes, tmp_path, trackers=[name]), tmp_path / "run"
    assert train.main(["--config", str(file), "--run", str(run)]) == 1
    assert capsys.readouterr().err == f"error: train.trackers needs {name}: pip install 'ass_tf[{name}]'.\n"
    assert not (run / "log.jsonl").exists()


def test_unknown_tracker_is_refused(scenes, tmp_path, capsys):
    file = settings_file(scenes, tmp_path, trackers=["excel"])
    assert train.main(["--config", str(file), "--run", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {file}: train.trackers.0 must ")


def start(file, run):
    words = [sys.executable, "-m", "ass_tf.train", "--config", str(file), "--run", str(run)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": tracked.environment()}
    return subprocess.Popen(words, cwd=ROOT, **piped)


def followed_up_to(run):
    """The last step that W&B's file holds."""
    rows = [row for one in tracked.offline_runs(run / "wandb") for row in one.history]
    return max((row["step"] for row in rows), default=0)


@pytest.mark.slow
def test_killed_run_goes_on_in_the_same_tracked_run_and_ends_as_one_without_trackers(scenes, tmp_path):
    tracked.mlflow()
    pytest.importorskip("wandb")
    long = {"steps": 30, "validate_every": 15}
    plain = start(settings_file(scenes, tmp_path, **long), tmp_path / "plain")
    _, err = plain.communicate()
    assert plain.returncode == 0, err
    file, run = settings_file(scenes, tmp_path, **long, trackers=FOLLOWED), tmp_path / "run"
    first = start(file, run)
    wait_for(lambda: RunFolder(run).snapshots() and followed_up_to(run) >= 3, first)
    first.kill()
    first.communicate()
    assert not (run / "result.json").exists()
    ids = json.loads((run / "trackers.json").read_text())
    second = start(file, run)
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert "follows this run no longer" not in out
    assert json.loads((run / "trackers.json").read_text()) == ids

    assert log_of(run) == log_of(tmp_path / "plain")
    one, other = (RunFolder(folder).state()[0] for folder in (run, tmp_path / "plain"))
    expected = tensors(other)
    assert {k: v.tobytes() for k, v in tensors(one).items()} == {k: v.tobytes() for k, v in expected.items()}

    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = {r["step"]: r["segmentation_loss_source"] for r in records if "images_per_second" in r}
    scores = {r["step"]: r["validation"]["miou"] for r in records if "validation" in r}
    (kept,) = tracked.runs_of(run / "mlruns")
    assert (kept.info.run_id, kept.info.run_name, kept.info.status) == (ids["mlflow"], "run", "FINISHED")
    assert kept.data.params["method"] == "csa"
    assert kept.data.params["optimiser.lr"] == "0.01"
    assert {"host", "version.ass_tf", "version.tensorflow", "version.keras"} <= kept.data.tags.keys()
    assert dict(tracked.history(run / "mlruns", kept, "segmentation_loss_source")) == pytest.approx(losses)
    assert dict(tracked.history(run / "mlruns", kept, "validation/miou")) == pytest.approx(scores)

    sessions = tracked.offline_runs(run / "wandb")
    assert [one.id for one in sessions] == [ids["wandb"]] * 2
    assert [one.resume for one in sessions] == [True, True]
    rows = [row for one in sessions for row in one.history]
    found = {row["step"]: row["segmentation_loss_source"] for row in rows if "segmentation_loss_source" in row}
    assert found == pytest.approx(losses)
    assert {row["step"]: row["validation/miou"] for row in rows if "validation/miou" in row} == pytest.approx(scores)
