"""Trackers follow a run in threads of their own, keep what they get on this machine, and never end a run."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tracked

from ass_tf.system import process, trackers

RECORDS = (
    {"step": 2, "loss": 0.5, "memory_mb": None},
    {"step": 4, "loss": 0.25, "memory_mb": 7},
    {"step": 4, "validation": {"miou": 30.0, "iou": {"road": 60.0, "traffic light (old)": None}}},
    {"step": 4, "warning": "the discriminator has won"},
)
SETTINGS = {"train": {"steps": 4, "precision": "float32"}, "classes": ["road", "sky"], "validation": None}


class Kept:
    """A sink that keeps what it gets, and fails at one of its records."""

    def __init__(self, fails_at=None):
        self.fails_at, self.records, self.closed = fails_at, [], []

    def write(self, record):
        if len(self.records) == self.fails_at:
            raise OSError("the network\nis down")
        self.records.append(record)

    def close(self, error=None):
        self.closed.append(error)


def test_follower_hands_all_records_on_in_their_order_and_how_the_run_ended():
    sink, error = Kept(), SystemExit(143)
    follower = trackers.Follower("kept", lambda: sink)
    for record in RECORDS:
        follower.write(record)
    follower.close(error)
    assert (sink.records, sink.closed, follower.failed) == (list(RECORDS), [error], False)


@pytest.mark.parametrize("fails_at", [0, 2])
def test_follower_that_fails_is_left_out_after_one_line(fails_at, capsys):
    sink = Kept(fails_at)
    follower = trackers.Follower("kept", lambda: sink)
    for record in RECORDS:
        follower.write(record)
    follower.close()
    follower.write(RECORDS[0])
    assert (len(sink.records), sink.closed) == (fails_at, [])
    assert capsys.readouterr().out == "warning: kept follows this run no longer: the network is down\n"


def test_follower_that_cannot_start_is_left_out_after_one_line(capsys):
    def start():
        raise RuntimeError

    follower = trackers.Follower("kept", start)
    follower.write(RECORDS[0])
    follower.close()
    assert capsys.readouterr().out == "warning: kept follows this run no longer: RuntimeError\n"


def test_follower_that_hangs_holds_nobody_up(monkeypatch, capsys):
    monkeypatch.setattr(trackers, "PATIENCE", 0.1)
    gone = threading.Event()
    follower = trackers.Follower("kept", gone.wait)
    follower.write(RECORDS[0])
    follower.close()
    assert "it has not taken all within 0 seconds" in capsys.readouterr().out
    gone.set()
    follower.thread.join()
    assert capsys.readouterr().out == ""  # its error is no second line


def test_metrics_are_the_numbers_of_a_record_by_one_name_each():
    found = [trackers.metrics_of(record) for record in RECORDS]
    validation = {"validation/miou": 30.0, "validation/iou/road": 60.0}
    assert found == [{"loss": 0.5}, {"loss": 0.25, "memory_mb": 7.0}, validation, {}]


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_missing_package_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(process.MissingPackage, match=rf"^train\.trackers needs {name}: pip install 'ass_tf\[{name}\]'"):
        trackers.require([name])


def test_damaged_ids_are_told_before_anything_is_followed(tmp_path):
    (tmp_path / "trackers.json").write_text("{")
    with pytest.raises(ValueError, match=r"trackers\.json: no valid JSON"):
        trackers.follow(["mlflow"], trackers.Subject("run", tmp_path, {}, {}))
    assert trackers.follow([], trackers.Subject("run", tmp_path, {}, {})) == []


def followed(folder, *names, settings=SETTINGS, records=RECORDS, error=None):
    """Follows a run to its end."""
    trackers.require(names)
    subject = trackers.Subject("my run", folder, settings, {"host": "here", "version.keras": "3"})
    followers = trackers.follow(names, subject)
    for follower in followers:
        for record in records:
            follower.write(record)
        follower.close(error)
    return [follower.failed for follower in followers]


@pytest.fixture
def mlflow(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return tracked.mlflow()


def test_mlflow_keeps_settings_facts_and_numbers_by_step_beside_the_run(mlflow, tmp_path):
    assert followed(tmp_path, "mlflow") == [False]
    (run,) = tracked.runs_of(tmp_path / "mlruns")
    assert (run.info.run_name, run.info.status) == ("my run", "FINISHED")
    expected = {"train.steps": "4", "train.precision": "float32", "classes": '["road", "sky"]', "validation": "null"}
    assert run.data.params == expected
    assert {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")} == {
        "host": "here",
        "version.keras": "3",
        "warning": "step 4: the discriminator has won",
    }
    assert tracked.history(tmp_path / "mlruns", run, "loss") == [(2, 0.5), (4, 0.25)]
    assert tracked.history(tmp_path / "mlruns", run, "validation/iou/road") == [(4, 60.0)]


def test_mlflow_goes_on_in_the_same_run_and_notes_settings_that_changed(mlflow, tmp_path):
    assert followed(tmp_path, "mlflow", error=SystemExit(143)) == [False]
    (first,) = tracked.runs_of(tmp_path / "mlruns")
    longer = {**SETTINGS, "train": {"steps": 8, "precision": "float32"}, "seed": 1}
    assert followed(
        tmp_path, "mlflow", settings=longer, records=[{"step": 4, "loss": 0.2}, {"step": 8, "loss": 0.1}]
    ) == [False]
    (run,) = tracked.runs_of(tmp_path / "mlruns")
    assert (first.info.run_id, first.info.status) == (run.info.run_id, "KILLED")
    assert (run.info.status, run.data.params["train.steps"], run.data.params["seed"]) == ("FINISHED", "4", "1")
    assert run.data.tags["changed.train.steps"] == "8"
    assert tracked.history(tmp_path / "mlruns", run, "loss") == [(2, 0.5), (4, 0.25), (4, 0.2), (8, 0.1)]


def test_mlflow_begins_anew_in_a_store_that_does_not_know_the_run(mlflow, tmp_path, monkeypatch):
    assert followed(tmp_path, "mlflow") == [False]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "other").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "streets")
    assert followed(tmp_path, "mlflow", error=ValueError("a loss is not finite")) == [False]
    assert [run.info.status for run in tracked.runs_of(tmp_path / "other", "streets")] == ["FAILED"]
    assert len(tracked.runs_of(tmp_path / "mlruns")) == 1


def test_mlflow_server_that_is_away_costs_one_line(mlflow, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert followed(tmp_path, "mlflow") == [True]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: mlflow follows this run no longer: ")


WANDB = """
import sys
from pathlib import Path
from test_trackers import RECORDS, SETTINGS, followed
print(followed(Path(sys.argv[1]), "wandb", records=RECORDS[int(sys.argv[2]):], error=eval(sys.argv[3])))
"""


def in_a_process_of_its_own(folder, start, error, **variables):
    """What `followed` returns there: W&B leaves a service behind in a process that has used it."""
    here = [str(Path(__file__).parent), *(str(path) for path in tracked.paths())]
    code = f"import sys; sys.path[:0] = {here}\n{WANDB}"
    words = [sys.executable, "-c", code, str(folder), str(start), error]
    return subprocess.run(words, capture_output=True, text=True, env=tracked.environment(**variables), timeout=120)


def test_wandb_keeps_settings_and_numbers_offline_and_goes_on_in_the_same_run(tmp_path):
    pytest.importorskip("wandb")
    for start, error in ((0, "SystemExit(143)"), (1, "None")):
        done = in_a_process_of_its_own(tmp_path, start, error)
        assert (done.stdout, done.stderr) == ("[False]\n", "")
    first, second = tracked.offline_runs(tmp_path / "wandb")
    assert first.id == second.id
    assert (first.name, first.project, first.resume, second.resume) == ("my run", "ass_tf", True, True)
    for run in (first, second):
        assert run.config["train.steps"] == 4
        assert run.config["classes"] == ["road", "sky"]
        assert run.config["host"] == "here"
    assert [(row["step"], row["loss"]) for row in first.history if "loss" in row] == [(2, 0.5), (4, 0.25)]
    assert [row["validation/iou/road"] for row in first.history if "validation/miou" in row] == [60.0]
    assert [(row["step"], row["loss"]) for row in second.history if "loss" in row] == [(4, 0.25)]


def test_wandb_without_a_key_asks_nothing_and_costs_one_line(tmp_path):
    pytest.importorskip("wandb")
    done = in_a_process_of_its_own(tmp_path, 0, "None", WANDB_MODE="online", NETRC=str(tmp_path / "none"))
    line, last = done.stdout.splitlines()
    assert line.startswith("warning: wandb follows this run no longer: ")
    assert last == "[True]"
