"""A run's step, as its settings make it, and what a session finds and records in the folder."""

import hashlib
import json

import pytest
from small_runs import settings

from ass_tf import config
from ass_tf.methods import precision
from ass_tf.runs import session
from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.runs.workers import Workers
from ass_tf.system import storage


@pytest.mark.parametrize(("labelled", "weight", "expected"), [(2, 0, True), (0, 0, False), (0, 1, True)])
def test_source_makes_the_statistics_where_g_sees_no_photograph(labelled, weight, expected, tmp_path):
    plain = settings(tmp_path, method="joint", self_training={"weight": weight})
    plain["target"]["labelled"], plain["model"]["batch_norm"] = labelled, "target"
    game, _ = session.build_step(config.from_dict(plain), session.build_strategy())
    assert game.target_statistics is expected


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def save(run):
    run.snapshot_at(4).mkdir(parents=True)


def test_initial_weights_are_those_of_the_start_that_saved_something(run, tmp_path, one_replica):
    def begin(weights):
        plain = settings(tmp_path)
        plain["model"]["weights"] = weights and str(weights)
        session.write_session(run, config.from_dict(plain), Workers(one_replica), {})
        return {key: value for key, value in run.read_sessions().items() if key != "sessions"}

    file = tmp_path / "w.safetensors"
    file.write_bytes(b"weights")
    from_file = {"initial_weights": str(file), "initial_weights_sha256": hashlib.sha256(b"weights").hexdigest()}
    assert begin(file) == from_file
    assert begin(None) == {"initial_weights": "random"}
    assert begin(file) == from_file
    save(run)
    file.write_bytes(b"others")
    assert begin(file) == from_file
    assert len(run.read_sessions()["sessions"]) == 4


def test_a_start_that_saved_nothing_does_not_choose_the_precision(run, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "gain", lambda: 2.5)
    automatic = config.from_dict(settings(tmp_path, train={"precision": "auto", "steps": 8}))
    run.write_sessions({"sessions": [{"precision": "mixed_bfloat16"}, {"precision": "float32"}]})
    assert session.resolved(run, automatic).train.precision == "mixed_bfloat16"  # it begins, with this machine's best
    save(run)
    assert session.resolved(run, automatic).train.precision == "float32"


@pytest.mark.parametrize("last", [5, {"step": 14}, {"step": 14, "miou": "good", "iou": {}}])
def test_odd_scores_of_a_finished_run_are_named_in_one_line(run, tmp_path, last):
    found = config.from_dict(settings(tmp_path))
    storage.write_text(run.config, config.dump(found))
    run.write_result({"last": None, "best": {"step": 8, "miou": None, "iou": {"road": None}}})
    assert session.finished(run, found) == json.loads(run.result.read_text())
    run.write_result({"last": last})
    with pytest.raises(RunFolderError) as caught:
        session.finished(run, found)
    assert str(caught.value) == f"{run.result}: last must hold the scores of a snapshot. Received: something else."
