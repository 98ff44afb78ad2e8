"""The judge of `check_inputs`, on made-up outcomes: no command runs here."""

import bad_inputs_calls  # noqa: F401 (notes its damages, as the next three)
import bad_inputs_files  # noqa: F401
import bad_inputs_json  # noqa: F401
import bad_inputs_runs  # noqa: F401
import pytest
from bad_inputs_forms import COMMANDS, FORMS, forms_of
from bad_inputs_judge import Expectation, Outcome, digests, judge
from bad_inputs_trial import DAMAGES

FILES = {"run": "folder", "run/config.json": "a", "run/log.jsonl": "b"}
CERTAIN = Expectation(certain=True, named=("config.json", "train.steps"), changes=("run/log.jsonl",))
REFUSED = "error: run/config.json: no valid JSON.\n"


def outcome(status=2, stderr=REFUSED, stdout="", raised="", **after):
    return Outcome(status, stdout, stderr, raised, FILES, FILES | after)


def kinds(*given, **named):
    return [kind for kind, _ in judge(*given, **named)]


def test_a_refused_input_and_a_harmless_one_pass():
    assert judge(outcome(), CERTAIN) == []
    assert judge(outcome(0, "", "done"), Expectation()) == []
    assert judge(outcome(2, "usage: train\ntrain: error: argument --set: train.steps\n"), CERTAIN) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"raised": "Traceback (most recent call last):\nKeyError: 'a'\n"},
        {"stderr": f"{REFUSED}Traceback (most recent call last):\n  File\nKeyError: 'a'\n"},
        {"stdout": "Traceback (most recent call last):\n"},
    ],
)
def test_a_traceback_is_found(bad):
    assert kinds(outcome(**bad), CERTAIN) == ["traceback"]


@pytest.mark.parametrize("status", [0, 3, 130, 141, -11])
def test_a_wrong_status_is_found(status):
    assert "status" in kinds(outcome(status), CERTAIN)


def test_a_lost_or_changed_file_is_found():
    assert kinds(outcome(**{"run/config.json": "other"}), CERTAIN) == ["lost"]
    gone = outcome()
    gone.after = {"run": "folder"}
    assert [text for _, text in judge(gone, CERTAIN)] == ["run/config.json: is gone"]


@pytest.mark.parametrize("name", ["run/.config.json.ab12.part", "run/snapshots/.part", "run/tmpx1", "TMPDIR/folder"])
def test_a_file_left_over_is_found(name):
    assert kinds(outcome(**{name: "c"}), CERTAIN) == ["lost"]


def test_what_a_command_rewrites_is_not_lost():
    expected = Expectation(success_changes=("run/config.json",))
    assert judge(outcome(**{"run/log.jsonl": "longer"}), CERTAIN) == []
    assert judge(outcome(0, "", "done", **{"run/config.json": "new"}), expected) == []
    assert kinds(outcome(1, **{"run/config.json": "new"}), expected) == ["lost"]


@pytest.mark.parametrize(
    "stderr",
    [
        "it does not work\n",
        "error: something else.\n",
        "error: config.json: KeyError('a')\n",
        "error: config.json\n" * 13,
        "error: config.json " + "[" * 2000 + "\n",
    ],
)
def test_a_poor_message_is_found(stderr):
    assert kinds(outcome(stderr=stderr), CERTAIN) == ["message"]


def test_a_missing_or_broken_output_is_found(tmp_path):
    expected = Expectation(outputs=("stdout", "result.json", "picture.png"))
    assert kinds(outcome(0, ""), expected, folder=tmp_path) == ["outputs"] * 3
    (tmp_path / "result.json").write_text("{")
    (tmp_path / "picture.png").write_bytes(b"")
    assert kinds(outcome(0, "", "done"), expected, folder=tmp_path) == ["outputs"] * 2


def test_digests_tell_files_and_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("1")
    before = digests(tmp_path)
    (tmp_path / "a" / "b").write_text("2")
    assert before.keys() == digests(tmp_path).keys() == {"a", "a/b"}
    assert before["a"] == "folder"
    assert before != digests(tmp_path)


def test_every_kind_of_file_has_damages_and_every_command_forms():
    kinds_of_forms = {kind for form in FORMS for kind in (*form.reads, *form.sees)}
    assert kinds_of_forms | {"words", "out", "block"} == {entry.kind for entry in DAMAGES}
    assert all(forms_of(command) for command in COMMANDS)
