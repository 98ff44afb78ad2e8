"""Runs that go on otherwise than they began: what is judged again, and what a refusal leaves alone."""

import json
import os
import signal

import pytest
from counting import command as command  # a fixture
from small_runs import content, log_of

from ass_tf.runs.folder import RunFolder


def stop(_):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def validation(scenes):
    values = {"dataset": "cityscapes", "root": scenes / "cityscapes", "split": "val", "size": "[32,64]"}
    return [f"validation.{key}={value}" for key, value in values.items()]


def test_run_that_is_to_end_where_it_was_stopped_is_validated_there(command, validation):
    assert command(*validation, at={6: stop}).status == 143
    done = command(*validation, "train.steps=6")
    assert done.status == 0
    result = json.loads((done.run / "result.json").read_text())
    assert (result["last"]["step"], result["best"]["step"]) == (6, 6)
    assert [record["step"] for record in log_of(done.run) if "validation" in record] == [6]


def test_score_of_another_validation_is_not_the_result(command, validation, tmp_path):
    """The run was killed between its last snapshot and its result."""
    done = command(*validation, "train.steps=4")
    (done.run / "result.json").unlink()
    names = RunFolder(done.run).names_of("validation").read_text().splitlines()
    (tmp_path / "names.txt").write_text(names[1] + "\n")
    before = RunFolder(done.run).state()[1]["last"]
    assert command(*validation, "train.steps=4", f"validation.list={tmp_path / 'names.txt'}").status == 0
    last = json.loads((done.run / "result.json").read_text())["last"]
    pixels = [sum(map(sum, scores["confusion"])) for scores in (before, last)]
    assert pixels[0] > pixels[1] > 0


def test_refused_change_of_the_data_leaves_the_best_score_and_the_lists_alone(command, validation, tmp_path):
    done = command(*validation, "train.validate_every=4", at={6: stop})
    run = RunFolder(done.run)
    for role in ("source", "validation"):
        (tmp_path / f"{role}.txt").write_text(run.names_of(role).read_text().splitlines()[0] + "\n")
    before = content(done.run)
    lists = [f"{role}.list={tmp_path / role}.txt" for role in ("source", "validation")]
    refused = command(*validation, "train.validate_every=4", *lists)
    assert (refused.status, len(refused.err)) == (1, 1)
    assert "the source images must be those that the run began with" in refused.err[0]
    assert content(done.run) == before
