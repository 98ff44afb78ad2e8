"""Sweeps that share a machine's GPUs, or have little time."""

import json
from types import SimpleNamespace

import pytest
from sweeps import completed, start
from sweeps import plan as plan  # a fixture
from sweeps import trainer as trainer  # a fixture

from ass_tf import config, sweep
from ass_tf.studies import cells, work
from ass_tf.studies import plan as plans
from ass_tf.system import machine, storage

ONE = {"labelled": [2], "methods": {"oracle": "oracle.json"}}


def note(out, seed, minutes):
    (out / f"status/oracle-2-{seed}.json").write_text(json.dumps({"minutes": minutes}))


@pytest.fixture
def begun(plan, tmp_path):
    """A sweep of which one run is done, which took an hour, and the words that go on with three."""
    out = tmp_path / "out"
    assert sweep.main(["--config", str(plan(seeds=[0], **ONE)), "--out", str(out)]) == 0
    note(out, 0, 60)
    return out, ["--config", str(plan(seeds=[0, 1, 2], **ONE)), "--out", str(out)]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_runs_for_which_the_time_is_too_short_are_left(begun, tmp_path, processes):
    out, _ = begun
    process = start(tmp_path / "plan.json", out, "--max-hours", "0.9", "--processes", processes)
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == 75, errors
    assert "oracle-2-1: takes about 1:00 h, more than there are; left" in printed
    assert completed(out) == ["oracle-2-0"]


@pytest.mark.parametrize(("done", "status"), [([0, 1, 2], 0), ([0, 1], 75)])
def test_what_one_process_leaves_and_another_makes_is_not_left(begun, monkeypatch, done, status):
    """One of two processes has no time for the run that the other has in hand."""
    out, words = begun
    file, folder = out.parent / "plan.json", cells.Folder(out)
    for cell in plans.cells_of(file):
        storage.write_text(folder.run(cell).config, config.dump(cell.settings))
        if cell.seed in done:
            folder.run(cell).write_result({"last": {"miou": 1.0}})
    ended = SimpleNamespace(start=lambda: None, join=lambda: None, exitcode=75)
    context = SimpleNamespace(Process=lambda **_: ended)
    monkeypatch.setattr(work.multiprocessing, "get_context", lambda _: context)
    assert sweep.main([*words, "--max-hours", "1", "--processes", "2"]) == status


def test_runs_for_which_there_is_time_are_made(begun):
    out, words = begun
    assert sweep.main([*words, "--max-hours", "1.1"]) == 0
    assert completed(out) == ["oracle-2-0", "oracle-2-1", "oracle-2-2"]


def test_what_a_run_has_behind_it_counts(begun):
    out, words = begun
    (out / "oracle-2-1/snapshots/step-00000005").mkdir(parents=True)
    note(out, 1, 50)
    assert sweep.main([*words, "--max-hours", "0.5"]) == 75
    assert completed(out) == ["oracle-2-0", "oracle-2-1"]


def test_a_failed_run_counts_more_than_one_that_is_left(plan, tmp_path):
    words = ["--config", str(plan(seeds=[0, 13, 2], **ONE)), "--out", str(tmp_path / "out")]
    assert sweep.main([*words, "--max-hours", "9"]) == 1


@pytest.mark.parametrize("hours", ["0", "-1", "soon", "inf", "nan"])
def test_hours_that_cannot_be_are_refused(plan, tmp_path, capsys, hours):
    with pytest.raises(SystemExit):
        sweep.main(["--config", str(plan()), "--max-hours", hours])
    assert "argument --max-hours: must be a number of hours above 0" in capsys.readouterr().err


def test_processes_share_the_gpus(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    out = tmp_path / "out"
    process = start(plan(), out, "--processes", "2")
    process.communicate(timeout=100)
    assert process.returncode == 0
    seen = {(out / name / "gpus").read_text() for name in completed(out)}
    assert seen <= {"4,9", "7"}


def test_gpus_are_those_of_the_environment_or_of_the_driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.gpus(str(tmp_path / "none")) == []
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert machine.gpus(str(tmp_path)) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.gpus(str(tmp_path)) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1,3")
    assert machine.gpus(str(tmp_path)) == ["GPU-1", "3"]
