"""The run folder: who may work there, its settings, lists and log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from small_runs import content

from ass_tf import config
from ass_tf.config import reading
from ass_tf.runs import claiming, snapshots
from ass_tf.runs.folder import RunFolder, RunFolderError

ROOT = Path(__file__).parents[2]
PLAIN = {
    "method": "csa",
    "classes": ["a", "b"],
    "source": {"dataset": "gta5", "root": "game", "size": [32, 64]},
    "target": {"dataset": "cityscapes", "root": "city", "size": [32, 64]},
    "validation": {"dataset": "cityscapes", "root": "city", "size": [32, 64], "split": "val"},
    "optimiser": {"lr": 0.1, "momentum": 0.9},
}
SETTINGS = config.from_dict(PLAIN)


def changed(key, value, plain=PLAIN):
    """SETTINGS with one setting, given by its dotted name, replaced."""
    section, _, name = key.rpartition(".")
    return config.from_dict(
        {**plain, section: {**plain.get(section, {}), name: value}} if section else {**plain, key: value}
    )


def variables(*values):
    return tf.train.Checkpoint(**{f"v{i}": tf.Variable(value) for i, value in enumerate(values)})


def test_new_folder_is_claimed_and_holds_the_settings(tmp_path):
    with claiming.claim(RunFolder(tmp_path / "runs" / "a"), SETTINGS):
        assert (tmp_path / "runs/a/config.json").read_text() == config.dump(SETTINGS)


def test_empty_folder_and_a_folder_left_by_a_kill_while_it_was_made_are_claimed(tmp_path):
    for names in ((), ("lock",), ("lock", ".config.json.part"), ("lock", "lock.held", ".config.json.part")):
        run = tmp_path / f"run{len(names)}"
        run.mkdir()
        for name in names:
            (run / name).touch()
        claiming.claim(RunFolder(run), SETTINGS).close()
        assert (run / "config.json").read_text() == config.dump(SETTINGS)


def test_folder_is_reopened_by_the_same_settings_and_its_record_is_left_alone(tmp_path):
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    before = (tmp_path / "config.json").stat()
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    assert (tmp_path / "config.json").stat().st_mtime_ns == before.st_mtime_ns


def test_second_process_is_refused_while_the_first_one_lives(tmp_path):
    code = (
        "import json, sys; from pathlib import Path; from ass_tf import config\n"
        "from ass_tf.runs import claiming; from ass_tf.runs.folder import RunFolder\n"
        "lock = claiming.claim(RunFolder(sys.argv[1]), config.from_dict(json.loads(sys.argv[2])))\n"
        "print('claimed', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path), json.dumps(PLAIN)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(RunFolderError) as caught:
            claiming.claim(RunFolder(tmp_path), SETTINGS)
        assert str(caught.value) == f"{tmp_path}: another process is training in this folder."
        other.kill()
        other.wait()
        claiming.claim(RunFolder(tmp_path), SETTINGS).close()  # a killed process leaves no lock behind


def test_second_claim_within_a_process_is_refused_until_the_first_is_closed(tmp_path):
    with claiming.claim(RunFolder(tmp_path), SETTINGS), pytest.raises(RunFolderError, match="another process"):
        claiming.claim(RunFolder(tmp_path), SETTINGS)
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()


@pytest.mark.parametrize(
    ("key", "value", "before"),
    [
        ("optimiser.lr", 0.2, "0.1"),
        ("classes", ["a", "c"], '["a", "b"]'),
        ("seed", 3, "0"),
        ("source.size", [64, 64], "[32, 64]"),
        ("target.labelled_seed", 1, "0"),
        ("train.precision", "mixed_bfloat16", '"float32"'),
    ],
)
def test_settings_that_change_weights_are_refused_in_one_line_that_names_the_key(tmp_path, key, value, before):
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    with pytest.raises(RunFolderError) as caught:
        claiming.claim(RunFolder(tmp_path), changed(key, value))
    rule = f"{key} must be {before} as in the run begun there; another --run starts afresh."
    assert str(caught.value) == f"{tmp_path}: {rule} Received: {json.dumps(value)}."
    assert (tmp_path / "config.json").read_text() == config.dump(SETTINGS)
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()  # and the refusal holds no lock


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.log_every", 7),
        ("train.validate_every", 7),
        ("train.checkpoint_every", 7),
        ("train.shares_every", 0),
        ("train.steps", 160000),
        ("source.root", "moved"),
        ("target.list", "names.txt"),
        ("validation", None),
        ("validation.split", "test"),
    ],
)
def test_settings_that_change_no_weight_may_differ_and_are_told(tmp_path, key, value):
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    claiming.claim(RunFolder(tmp_path), changed(key, value)).close()
    found = claiming.changes(RunFolder(tmp_path), changed(key, value))
    assert {name: now for name, (_, now) in found.items()} == {key: value}
    assert (tmp_path / "config.json").read_text() == config.dump(SETTINGS)


def test_every_setting_that_may_differ_is_a_setting():
    names = [name for name, _ in reading._settings()]
    free = [name for name in names if claiming.FREE.fullmatch(name)]
    assert {name.partition(".")[0] for name in free} == {"train", "source", "target", "validation"}
    assert not [name for name in free if name.startswith(("source", "target")) and name.endswith(("size", "split"))]


def test_fewer_steps_than_there_are_are_refused(tmp_path):
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 20})
    with pytest.raises(RunFolderError, match=r"train\.steps must be at least 20, which the run has\. Received: 19\."):
        claiming.claim(RunFolder(tmp_path), changed("train.steps", 19))


def test_record_of_a_version_that_lacked_a_setting_counts_as_its_default(tmp_path):
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    record = json.loads((tmp_path / "config.json").read_text())
    del record["train"]["feature_images"], record["losses"], record["optimiser"]["epsilon"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    assert claiming.changes(RunFolder(tmp_path), SETTINGS) == {}


def test_run_whose_snapshots_were_deleted_is_refused_and_keeps_its_log(tmp_path):
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    (tmp_path / "log.jsonl").write_text('{"step": 1000, "loss": 1}\n{"step": 1050, "loss": 1}\n')
    before = content(tmp_path)
    with pytest.raises(RunFolderError, match=r"log\.jsonl has come to step 1050, but snapshots/ holds nothing"):
        claiming.claim(RunFolder(tmp_path), SETTINGS)
    assert content(tmp_path) == before


def test_log_of_a_start_that_saved_nothing_does_not_bar_the_starts_after_it(tmp_path):
    """Its steps are more than come before the first snapshot of the settings that follow."""
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    (tmp_path / "log.jsonl").write_text('{"step": 900, "loss": 1}\n')
    for _ in range(2):
        claiming.claim(RunFolder(tmp_path), changed("train.checkpoint_every", 100)).close()
    assert RunFolder(tmp_path).records() == []


def test_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"--run must name a new folder or a run's"):
        claiming.claim(RunFolder(tmp_path), SETTINGS)
    assert list(content(tmp_path)) == ["thesis.tex"]


def test_settings_of_a_start_that_saved_nothing_are_replaced(tmp_path):
    claiming.claim(RunFolder(tmp_path), changed("seed", 3)).close()
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    assert (tmp_path / "config.json").read_text() == config.dump(SETTINGS)


@pytest.mark.parametrize("train", [[], 3, None])
def test_odd_settings_of_a_start_that_saved_nothing_are_replaced(tmp_path, train):
    (tmp_path / "config.json").write_text(json.dumps({"train": train}))
    (tmp_path / "log.jsonl").write_text('{"step": 9}\n')
    claiming.claim(RunFolder(tmp_path), SETTINGS).close()
    assert (tmp_path / "config.json").read_text() == config.dump(SETTINGS)


def test_lists_of_images_are_those_that_the_run_began_with(tmp_path):
    claiming.write_lists(RunFolder(tmp_path), {"source": ["a", "b"], "target": ["c"]})
    claiming.write_lists(RunFolder(tmp_path), {"source": ["b"]})  # nothing has been saved
    assert content(tmp_path) == {"data/source.txt": b"b\n"}
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    claiming.write_lists(RunFolder(tmp_path), {"source": ["b"]})
    with pytest.raises(RunFolderError, match=r"source.txt: the source images must be those"):
        claiming.write_lists(RunFolder(tmp_path), {"source": ["a"]})


def test_roles_are_those_that_the_run_began_with_but_for_the_validation(tmp_path):
    begun = {"source": ["a"], "labelled": ["b"]}
    for name, names in (("with", begun), ("without", {"source": ["a"]})):
        claiming.write_lists(RunFolder(tmp_path / name), names)
        snapshots.save(RunFolder(tmp_path / name), variables(1.0), {"step": 1})
    with pytest.raises(RunFolderError, match=r"labelled.txt: the labelled images must be those that the run began"):
        claiming.write_lists(RunFolder(tmp_path / "without"), begun)
    with pytest.raises(RunFolderError, match=r"labelled.txt: the labelled images must be those that the run began"):
        claiming.write_lists(RunFolder(tmp_path / "with"), {"source": ["a"]})
    for names in ({**begun, "validation": ["c"]}, begun):
        assert claiming.write_lists(RunFolder(tmp_path / "with"), names) == []


def test_labels_mean_what_they_meant_when_the_run_began(tmp_path):
    names = {"source": ["a"], "validation": ["b"]}
    claiming.write_lists(RunFolder(tmp_path), names, {"source": "1", "validation": "2"})
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1, "best": {"step": 1}})
    assert claiming.write_lists(RunFolder(tmp_path), names, {"source": "1", "validation": "2"}) == []
    with pytest.raises(RunFolderError, match=r"tables\.json: ids of the source labels must mean the classes"):
        claiming.write_lists(RunFolder(tmp_path), names, {"source": "3", "validation": "2"})


@pytest.mark.parametrize(("images", "table"), [(["c"], "2"), (["b"], "3")])
def test_another_validation_is_taken_and_marks_the_best_score_as_of_another(tmp_path, images, table):
    claiming.write_lists(RunFolder(tmp_path), {"validation": ["b"]}, {"validation": "2"})
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1, "best": {"step": 1}})
    assert claiming.write_lists(RunFolder(tmp_path), {"validation": images}, {"validation": table}) == ["validation"]
    assert RunFolder(tmp_path).state()[1]["rejudged"] is True
    assert claiming.write_lists(RunFolder(tmp_path), {"validation": images}, {"validation": table}) == []


def test_unreadable_record_is_named_in_one_line(tmp_path):
    snapshots.save(RunFolder(tmp_path), variables(1.0), {"step": 1})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunFolderError) as caught:
        claiming.claim(RunFolder(tmp_path), SETTINGS)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: no valid JSON")
    assert "\n" not in str(caught.value)


def test_log_is_cut_after_the_step_that_the_run_goes_on_from(tmp_path):
    lines = [json.dumps({"step": step, "loss": 0.5}) for step in (1, 2, 2, 3)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    RunFolder(tmp_path).cut_log(2)
    assert (tmp_path / "log.jsonl").read_text() == "\n".join(lines[:3]) + "\n"


@pytest.mark.parametrize("broken", ['{"step": 2, "lo', '{"step": 1, "loss": 0.25', "\0\0\0\0"])
def test_line_cut_short_by_a_kill_is_dropped(tmp_path, broken):
    whole = json.dumps({"step": 1, "loss": 0.5}) + "\n"
    (tmp_path / "log.jsonl").write_text(whole + broken)
    RunFolder(tmp_path).cut_log(2)
    assert (tmp_path / "log.jsonl").read_text() == whole


def test_validation_still_to_be_done_is_cut_with_what_comes_after(tmp_path):
    lines = [
        json.dumps(r) for r in ({"step": 1, "validation": {}}, {"step": 2, "loss": 1}, {"step": 2, "validation": {}})
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    RunFolder(tmp_path).cut_log(2, unvalidated=True)
    assert (tmp_path / "log.jsonl").read_text() == "\n".join(lines[:2]) + "\n"


def test_run_without_log_has_nothing_to_cut(tmp_path):
    RunFolder(tmp_path).cut_log(2)
    assert list(tmp_path.iterdir()) == []
