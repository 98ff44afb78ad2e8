"""The run folder: who may work there, its settings, lists and log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from small_runs import content

from ass_tf import checkpoint
from ass_tf.checkpoint import RunFolderError

ROOT = Path(__file__).parents[1]
SETTINGS = json.dumps({"method": "csa", "optimiser": {"lr": 0.1, "momentum": 0.9}, "classes": ["a", "b"]})


def variables(*values):
    return tf.train.Checkpoint(**{f"v{i}": tf.Variable(value) for i, value in enumerate(values)})


def test_new_folder_is_claimed_and_holds_the_settings(tmp_path):
    with checkpoint.claim(tmp_path / "runs" / "a", SETTINGS):
        assert (tmp_path / "runs/a/config.json").read_text() == SETTINGS


def test_empty_folder_and_a_folder_left_by_a_kill_while_it_was_made_are_claimed(tmp_path):
    for names in ((), ("lock",), ("lock", ".config.json.part")):
        run = tmp_path / f"run{len(names)}"
        run.mkdir()
        for name in names:
            (run / name).touch()
        checkpoint.claim(run, SETTINGS).close()
        assert (run / "config.json").read_text() == SETTINGS


def test_folder_is_reopened_by_the_same_settings_and_its_record_is_left_alone(tmp_path):
    checkpoint.claim(tmp_path, SETTINGS).close()
    checkpoint.save(tmp_path, variables(1.0), {"step": 1})
    before = (tmp_path / "config.json").stat()
    checkpoint.claim(tmp_path, json.dumps(json.loads(SETTINGS), indent=4)).close()
    assert (tmp_path / "config.json").stat().st_mtime_ns == before.st_mtime_ns


def test_second_process_is_refused_while_the_first_one_lives(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ass_tf import checkpoint\n"
        "lock = checkpoint.claim(Path(sys.argv[1]), sys.argv[2])\n"
        "print('claimed', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path), SETTINGS]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(RunFolderError) as caught:
            checkpoint.claim(tmp_path, SETTINGS)
        assert str(caught.value) == f"{tmp_path}: another process is training in this folder."
        other.kill()
        other.wait()
        checkpoint.claim(tmp_path, SETTINGS).close()  # a killed process leaves no lock behind


def test_second_claim_within_a_process_is_refused_until_the_first_is_closed(tmp_path):
    with checkpoint.claim(tmp_path, SETTINGS), pytest.raises(RunFolderError, match="another process"):
        checkpoint.claim(tmp_path, SETTINGS)
    checkpoint.claim(tmp_path, SETTINGS).close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": {"lr": 0.2, "momentum": 0.9}}, "optimiser.lr must be 0.1 as in the run begun there"),
        ({"classes": ["a"]}, 'classes must be ["a", "b"] as in the run begun there'),
        ({"seed": 3}, "seed must be null as in the run begun there"),
    ],
)
def test_other_settings_are_refused_in_one_line_that_names_the_key(tmp_path, changes, message):
    checkpoint.claim(tmp_path, SETTINGS).close()
    checkpoint.save(tmp_path, variables(1.0), {"step": 1})
    with pytest.raises(RunFolderError) as caught:
        checkpoint.claim(tmp_path, json.dumps({**json.loads(SETTINGS), **changes}))
    assert str(caught.value).startswith(f"{tmp_path}: {message}")
    value = next(iter(changes.values()))
    received = value["lr"] if isinstance(value, dict) else value
    assert str(caught.value).endswith(f"Received: {json.dumps(received)}.")
    assert (tmp_path / "config.json").read_text() == SETTINGS
    checkpoint.claim(tmp_path, SETTINGS).close()  # and the refusal holds no lock


def test_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"--run must name a new folder or a run's"):
        checkpoint.claim(tmp_path, SETTINGS)
    assert list(content(tmp_path)) == ["thesis.tex"]


def test_settings_of_a_start_that_saved_nothing_are_replaced(tmp_path):
    checkpoint.claim(tmp_path, '{"seed": 3}').close()
    checkpoint.claim(tmp_path, SETTINGS).close()
    assert (tmp_path / "config.json").read_text() == SETTINGS


def test_lists_of_images_are_those_that_the_run_began_with(tmp_path):
    checkpoint.write_lists(tmp_path, {"source": ["a", "b"], "target": ["c"]})
    checkpoint.write_lists(tmp_path, {"source": ["b"]})  # nothing has been saved
    assert content(tmp_path) == {"data/source.txt": b"b\n"}
    checkpoint.save(tmp_path, variables(1.0), {"step": 1})
    checkpoint.write_lists(tmp_path, {"source": ["b"]})
    with pytest.raises(RunFolderError, match=r"source.txt: the source images must be those"):
        checkpoint.write_lists(tmp_path, {"source": ["a"]})


def test_unreadable_record_is_named_in_one_line(tmp_path):
    checkpoint.save(tmp_path, variables(1.0), {"step": 1})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunFolderError) as caught:
        checkpoint.claim(tmp_path, SETTINGS)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: no valid JSON")
    assert "\n" not in str(caught.value)


def test_log_is_cut_after_the_step_that_the_run_goes_on_from(tmp_path):
    lines = [json.dumps({"step": step, "loss": 0.5}) for step in (1, 2, 2, 3)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    checkpoint.cut_log(tmp_path, 2)
    assert (tmp_path / "log.jsonl").read_text() == "\n".join(lines[:3]) + "\n"


@pytest.mark.parametrize("broken", ['{"step": 2, "lo', '{"step": 1, "loss": 0.25', "\0\0\0\0"])
def test_line_cut_short_by_a_kill_is_dropped(tmp_path, broken):
    whole = json.dumps({"step": 1, "loss": 0.5}) + "\n"
    (tmp_path / "log.jsonl").write_text(whole + broken)
    checkpoint.cut_log(tmp_path, 2)
    assert (tmp_path / "log.jsonl").read_text() == whole


def test_validation_still_to_be_done_is_cut_with_what_comes_after(tmp_path):
    lines = [
        json.dumps(r) for r in ({"step": 1, "validation": {}}, {"step": 2, "loss": 1}, {"step": 2, "validation": {}})
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    checkpoint.cut_log(tmp_path, 2, unvalidated=True)
    assert (tmp_path / "log.jsonl").read_text() == "\n".join(lines[:2]) + "\n"


def test_run_without_log_has_nothing_to_cut(tmp_path):
    checkpoint.cut_log(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []
