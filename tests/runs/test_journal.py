"""What a person sees of a run, and how its speed is measured."""

import json
import os
from io import StringIO

import numpy as np
import tensorflow as tf
from rich.console import Console

from ass_tf.runs import journal
from ass_tf.runs.folder import RunFolder
from ass_tf.scoring.metrics import Scores


def log_of(run, **given):
    return journal.Journal(RunFolder(run), window={}, watch={}, **given)


def test_terminal_shows_a_bar_with_losses_speed_and_time_left(tmp_path, monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(journal, "Console", lambda: Console(file=screen, force_terminal=True, width=150))
    with log_of(tmp_path, steps=4, start=0, images_per_step=2, log_every=2) as log:
        for step in range(1, 5):
            log.step(step, {"segmentation_loss_source": 0.25, "csa_adversarial_loss": 0.5}, 0.0)
            log.say("hello") if step == 1 else None
    text = screen.getvalue()
    for part in ("4/4", "seg_source 0.250", "csa_adv 0.500", "images/s", "left", "hello"):
        assert part in text


def test_time_of_validations_and_snapshots_is_not_in_the_speed(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(journal.time, "perf_counter", lambda: now[0])
    with log_of(tmp_path, steps=4, start=0, images_per_step=3, log_every=2) as log:
        for step in range(1, 5):
            now[0] += 1.0
            log.step(step, {"loss": 1.0}, 0.5)
            now[0] += 10.0
            log.pause(10.0)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["images_per_second"] for record in records] == [3.0, 3.0]
    assert [record["waiting_share"] for record in records] == [0.5, 0.5]


def shown_on_the_board(run):
    """(step, tag) of all that TensorBoard reads of a run."""
    found = []
    for file in sorted((run / "tensorboard").iterdir(), key=os.path.getctime):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found += [(event.step, value.tag) for value in event.summary.value]
    return found


def tell(run, start, steps):
    with log_of(run, steps=9, start=start, images_per_step=1, log_every=1) as log:
        for step in range(start + 1, steps + 1):
            log.step(step, {"loss": 1.0}, 0.0)
        scores = Scores(1.0, 2.0, {"a": 1.0}, {}, np.zeros((1, 1), np.int64))
        log.validation(steps, scores, np.zeros((4, 4, 3), np.uint8))


def test_board_of_a_resumed_run_shows_no_point_twice(tmp_path):
    run = tmp_path / "x[1]"
    run.mkdir()
    tell(run, 0, 5)
    journal.cut_board(RunFolder(run).board, 3)
    assert [step for step, tag in shown_on_the_board(run) if tag == "loss"] == [1, 2, 3]
    tell(run, 3, 5)
    shown = shown_on_the_board(run)
    assert [step for step, tag in shown if tag == "loss"] == [1, 2, 3, 4, 5]
    assert len(shown) == len(set(shown))
    journal.cut_board(RunFolder(run).board, 5, unvalidated=True)
    assert [tag for _, tag in shown_on_the_board(run) if tag.startswith("validation")] == []
    assert (5, "loss") in shown_on_the_board(run)
    assert [p.name for p in (run / "tensorboard").iterdir() if ".tfevents." not in p.name] == []


def test_board_that_a_kill_cut_short_is_read_up_to_there(tmp_path):
    tell(tmp_path, 0, 5)
    (file,) = (tmp_path / "tensorboard").iterdir()
    whole = shown_on_the_board(tmp_path)
    os.truncate(file, file.stat().st_size - 20)
    journal.cut_board(RunFolder(tmp_path).board, 5)
    shown = shown_on_the_board(tmp_path)
    assert shown == whole[: len(shown)]
    assert len(whole) > len(shown) > 20


def test_loss_that_begins_between_records_has_the_mean_of_its_own_steps(tmp_path):
    """Self-training begins after some steps; here a snapshot is taken between, and the run goes on from its state."""
    window = {}
    given = {"steps": 8, "images_per_step": 1, "log_every": 4, "watch": {}}
    for start, end in ((0, 3), (3, 8)):
        window = json.loads(json.dumps(window))
        with journal.Journal(RunFolder(tmp_path), start=start, window=window, **given) as log:
            for step in range(start + 1, end + 1):
                log.step(step, {"loss": 1.0, **({"late_loss": 2.0} if step > 2 else {})}, 0.0)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(r["step"], r["loss"], r["late_loss"]) for r in records] == [(4, 1.0, 2.0), (8, 1.0, 2.0)]


def test_undefined_score_is_a_dash(tmp_path, capsys):
    with log_of(tmp_path, steps=9, start=0, images_per_step=1, log_every=1) as log:
        scores = Scores(None, None, {"a": None}, {}, np.zeros((1, 1), np.int64))
        log.validation(3, scores, np.zeros((4, 4, 3), np.uint8))
    assert "step 3: mIoU - over 0 of 1 classes (without a), pixel accuracy -" in capsys.readouterr().out
