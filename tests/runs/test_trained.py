import json
import os

import exports
import pytest

import ass_tf
from ass_tf import config, labels
from ass_tf.export import card
from ass_tf.runs import snapshots, trained
from ass_tf.runs.folder import RunFolder


def test_newest_finished_run_is_found_at_any_depth(tmp_path):
    for age, name in ((300, "a"), (100, "deep/er/b"), (200, "c")):
        run = tmp_path / name
        run.mkdir(parents=True)
        (run / "config.json").write_text("{}")
        (run / "result.json").write_text("{}")
        os.utime(run / "result.json", (1e9 - age, 1e9 - age))
    for name, files in (("unfinished", ["config.json"]), (".being-written.part", ["config.json", "result.json"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{}")
    assert trained.newest_finished(tmp_path) == tmp_path / "deep/er/b"


def test_result_of_an_evaluation_is_no_run(tmp_path):
    run = tmp_path / "run"
    (run / "evaluation").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "evaluation" / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="no finished run is there"):
        trained.newest_finished(tmp_path)


def test_folder_that_does_not_exist_has_no_finished_run(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: no finished run is there; name one by --run DIR\."):
        trained.newest_finished(tmp_path / "nowhere")


def test_generator_comes_with_the_snapshots_weights(finished):
    settings, generator, step = trained.load(finished)
    again = trained.build(settings)
    assert snapshots.restore_generator(RunFolder(finished), again) == step == 7
    for one, other in zip(generator.variables, again.variables):
        assert (one.numpy() == other.numpy()).all()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.json", None, "config.json"),
        ("config.json", "{", "config.json"),
        ("snapshots", None, "must hold a snapshot"),
    ],
)
def test_run_that_cannot_be_used_is_named_in_one_line(tmp_path, scenes, file, text, message):
    run = exports.finished_run(tmp_path / "run", scenes)
    if file == "snapshots":
        (run / file).rename(tmp_path / "elsewhere")
    elif text is None:
        (run / file).unlink()
    else:
        (run / file).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        trained.load(run)
    assert "\n" not in str(caught.value)


def test_description_names_classes_and_colours_in_one_order(finished):
    settings = RunFolder(finished).settings()
    entries = exports.described(card.description(finished, settings, "last", 7))
    assert entries["class_names"] == list(labels.CLASS_SETS["cityscapes19"])
    assert entries["train_ids"] == list(range(19))
    assert entries["colours"][13] == [0, 0, 142]  # Cityscapes' car
    assert (entries["size"], entries["ignore"]) == ([32, 64], "255")
    assert (entries["run"], entries["snapshot"], entries["step"]) == ("one", "last", "7")
    assert entries["ass_tf_version"] == ass_tf.__version__
    assert config.from_dict(json.loads(entries["settings"])) == settings
