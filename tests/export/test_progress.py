"""What the inference command tells of its progress, on a terminal and elsewhere, by a clock of our own."""

import sys

import pytest

from street_inference import progress


@pytest.fixture
def clock(monkeypatch):
    """[seconds], as the progress reads them."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def advance(clock, total, errors=()):
    clock[0] = 0.0
    told = progress.Progress(total)
    for done in range(1, total + 1):
        clock[0] = 3.0 * done
        told.advance(f"{done}.jpg", "is damaged." if done in errors else "")


def show(clock, total, count):
    clock[0] = 0.0
    told = progress.FrameProgress(total)
    for done in range(1, count + 1):
        clock[0] = float(done)
        told.show(done)
    told.end()


def test_photographs_get_a_line_at_every_tenth_and_those_skipped_are_named(clock, capsys):
    advance(clock, 25, errors=[4])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[:3] == ["3 of 25 images, 1:06 left", "skipped: 4.jpg: is damaged.", "5 of 25 images, 1:00 left"]
    assert lines[-1] == "25 of 25 images, 0:00 left"


def test_photographs_get_one_line_on_a_terminal_which_ends_with_them(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    advance(clock, 2, errors=[2])
    assert capsys.readouterr().err == (
        "\r[##########..........] 1 of 2 images, 0:03 left\033[K"
        "\r\033[Kskipped: 2.jpg: is damaged.\n"
        "\r[####################] 2 of 2 images, 0:00 left\033[K\n"
    )


def test_frames_tell_their_speed_with_and_without_a_known_number(clock, capsys):
    show(clock, 20, 20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[4] == "10 of 20 frames, 1.0 a second, 0:10 left"
    assert lines[-1] == "20 of 20 frames, 1.0 a second, 0:00 left"
    show(clock, 0, 25)
    assert capsys.readouterr().err.splitlines() == ["11 frames, 1.0 a second", "22 frames, 1.0 a second"]


def test_frames_beyond_the_number_that_a_file_claims_have_no_bar(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show(clock, 2, 3)
    assert capsys.readouterr().err == (
        "\r[##########..........] 1 of 2 frames, 1.0 a second, 0:01 left\033[K"
        "\r[####################] 2 of 2 frames, 1.0 a second, 0:00 left\033[K"
        "\r3 frames, 1.0 a second\033[K\n"
    )
