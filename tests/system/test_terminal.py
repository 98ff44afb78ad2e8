"""How commands end when nobody reads what they print."""

import subprocess
import sys

import pytest
from small_runs import ROOT

from ass_tf.system import terminal


def test_reader_that_wants_no_more_ends_a_command_quietly():
    words = [sys.executable, "-m", "ass_tf.config", "--schema"]
    command = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    command.stdout.close()
    with command.stderr as stderr:
        assert stderr.read() == b""
    assert command.wait(60) == 141


def test_failing_disk_is_told_and_a_gone_reader_is_not(capsys):
    assert terminal.complain(OSError(28, "No space left on device"), 1) == 1
    assert capsys.readouterr().err == "error: No space left on device.\n"
    assert terminal.complain(OSError(28, "No space left on device", "a.json"), 1) == 1
    assert capsys.readouterr().err == "error: a.json: No space left on device.\n"
    with pytest.raises(BrokenPipeError):
        terminal.complain(BrokenPipeError(32, "Broken pipe"), 1)
    assert capsys.readouterr().err == ""


def test_progress_has_a_line_at_every_tenth_that_several_images_at_once_reach(capsys):
    with terminal.show_progress("statistics") as advance:
        for done in (3, 6, 9, 12, 15, 18, 21, 24, 25):
            advance(done, 25)
    told = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert told == [3, 6, 9, 12, 15, 18, 21, 24, 25]


@pytest.mark.parametrize(
    ("iou", "miou", "text"),
    [
        ({"a": 10.0, "b": 20.0}, 15.0, "15.00"),
        ({"a": 10.0, "b": None}, 10.0, "10.00 over 1 of 2 classes (without b)"),
        ({"a": None, "b": None}, None, "- over 0 of 2 classes (without a, b)"),
    ],
)
def test_mean_says_over_which_classes_it_is_and_is_a_dash_where_it_is_undefined(iou, miou, text):
    assert terminal.mean_of(miou, iou) == text
