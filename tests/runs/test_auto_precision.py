"""`train.precision=auto` in a run: what is recorded, what a run that goes on takes, and who is told of it."""

import json
import os
import signal

import pytest
from counting import command as command  # a fixture

from ass_tf.methods import precision


@pytest.fixture
def resolves(monkeypatch):
    """Makes the machine one whose bfloat16 is so many times as fast."""
    return lambda gain: monkeypatch.setattr(precision, "gain", lambda: gain)


def sessions_of(run):
    return json.loads((run / "run.json").read_text())["sessions"]


def test_run_that_goes_on_keeps_the_precision_that_it_began_with(command, resolves):
    words = "train.precision=auto", "train.steps=4"
    resolves(2.5)
    stopped = command(*words, at={2: lambda _: os.kill(os.getpid(), signal.SIGTERM)})
    assert stopped.status == 128 + signal.SIGTERM
    resolves(1.0)  # another machine
    done = command(*words, run=stopped.run)
    assert done.status == 0
    assert [session["precision"] for session in sessions_of(done.run)] == ["mixed_bfloat16"] * 2
    assert json.loads((done.run / "config.json").read_text())["train"]["precision"] == "auto"


@pytest.mark.parametrize(
    ("words", "gain", "told"), [(["train.precision=auto"], 2.5, False), ([], 2.5, True), ([], 1.2, False)]
)
def test_float32_on_a_machine_much_faster_in_bfloat16_is_told_once(command, resolves, words, gain, told):
    resolves(gain)
    done = command(*words, "train.steps=1")
    assert done.out.count("note: this machine computes much faster in bfloat16") == told
    again = command(*words, "train.steps=2", run=done.run)
    assert "note: this machine" not in again.out
