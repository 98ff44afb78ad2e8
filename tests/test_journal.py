"""What a person sees of a run, and how its speed is measured."""

import json
from io import StringIO

from rich.console import Console

from ass_tf import journal


def test_terminal_shows_a_bar_with_losses_speed_and_time_left(tmp_path, monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(journal, "Console", lambda: Console(file=screen, force_terminal=True, width=150))
    with journal.Journal(tmp_path, 4, 0, 2, 2, {}, {}) as log:
        for step in range(1, 5):
            log.step(step, {"segmentation_loss_source": 0.25, "csa_adversarial_loss": 0.5}, 0.0)
            log.say("hello") if step == 1 else None
    text = screen.getvalue()
    for part in ("4/4", "seg_source 0.250", "csa_adv 0.500", "images/s", "left", "hello"):
        assert part in text


def test_time_of_validations_and_snapshots_is_not_in_the_speed(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(journal.time, "perf_counter", lambda: now[0])
    with journal.Journal(tmp_path, 4, 0, 3, 2, {}, {}) as log:
        for step in range(1, 5):
            now[0] += 1.0
            log.step(step, {"loss": 1.0}, 0.5)
            now[0] += 10.0
            log.pause(10.0)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["images_per_second"] for record in records] == [3.0, 3.0]
    assert [record["waiting_share"] for record in records] == [0.5, 0.5]
