"""Runs read from their folders."""

import json

import made_runs
import numpy as np
import pytest
import small_runs

from ass_tf import config
from ass_tf.studies import paper, results, tables
from ass_tf.system import storage


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return made_runs.make_sweep(tmp_path_factory.mktemp("results") / "sweep")


def test_runs_that_failed_or_are_missing_are_told_apart(swept, tmp_path):
    cells = [{"name": n, "method": "csa", "variant": None, "labelled": 5, "seed": i} for i, n in enumerate("abc")]
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    made_runs.make(tmp_path / "a", labelled=5)
    storage.write_text(tmp_path / "status/b.json", json.dumps({"failed": "the disk is full", "minutes": 1, "at": 0}))
    runs = results.read(tmp_path)
    assert [run.failed for run in runs] == [None, "the disk is full", None]
    assert [run.settings is None for run in runs] == [False, True, True]
    assert tables.tables(runs)[0].rows["GA+CSA"][0].text.endswith(" (1 of 3)")
    assert tables.as_csv(runs).splitlines()[2].endswith("the disk is full")


def test_a_single_run_and_a_plain_folder_of_runs_are_read_too(swept, tmp_path):
    (run,) = results.read(swept / "csa-20-0")
    assert (run.method, run.labelled, run.seed, run.label) == ("csa", 20, 0, "GA+CSA")
    for name in ("x", "y"):
        made_runs.make(tmp_path / name, "ga", seed=ord(name))
    made_runs.make(tmp_path / ".z.part", "ga")  # which another command is writing, or was when it was killed
    assert [run.name for run in results.read(tmp_path)] == ["x", "y"]
    with pytest.raises(config.ConfigError, match="Received: no config"):
        results.read(tmp_path / "x/pictures")


def test_curves_warnings_shares_and_features_are_found(swept):
    (run,) = results.read(swept / "ga-20-0")
    assert run.curve("segmentation_loss_source") == ([100, 200, 300, 400], [1, 1 / 2, 1 / 3, 1 / 4])
    assert run.warnings() == ["step 100: global_discriminator has won: it is right <always>"]
    assert run.shares()[1]["global_adversarial_loss"] == [0.3] * 4
    before, after = run.distances("before"), run.distances("after")
    assert np.isnan(before[3])
    assert np.nanmean(before) > np.nanmean(after) > 0


def test_term_that_comes_later_has_no_share_before(tmp_path):
    made_runs.make(tmp_path / "run")
    shares = {1: {"a": 1.0}, 2: {"a": 0.25, "self_training_loss": 0.75}, 3: {"a": 1.0}}
    lines = [json.dumps({"step": step, "gradient_shares": found}) + "\n" for step, found in shares.items()]
    (tmp_path / "run/log.jsonl").write_text("".join(lines))
    (run,) = results.read(tmp_path / "run")
    assert run.shares() == ([1, 2, 3], {"a": [1.0, 0.25, 1.0], "self_training_loss": [0.0, 0.75, 0.0]})


def test_a_log_line_cut_short_is_left_out(tmp_path):
    made_runs.make(tmp_path / "run")
    with open(tmp_path / "run/log.jsonl", "a") as log:
        log.write('{"step": 999, "segm')
    (run,) = results.read(tmp_path / "run")
    assert max(record["step"] for record in run.records) == 400


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("gta5", "cityscapes", "csa", 500), 60.2),
        (("gta5", "cityscapes", "csa", "all"), 69.1),
        (("gta5", "cityscapes", "csa", 500, 0.01), 60.16),
        (("gta5", "cityscapes", "csa", 500, 0.1), 59.46),
        (("gta5", "cityscapes", "csa", 200, 0.1), None),
        (("gta5", "cityscapes", "fcsa", 100, 1.0), 54.11),
        (("gta5", "cityscapes", "fcsa", 100, 0.04), 53.68),
        (("gta5", "cityscapes", "fcsa", 100), 54.1),
        (("gta5", "cityscapes", "fcsa", 200, 0.04), 56.4),
        (("gta5", "cityscapes", "joint", 100), None),
        (("gta5", "camvid", "csa", 500), None),
        (("synthia", "cityscapes", "ga", 0), 46.7),
        (("synthia", "cityscapes", "csa", 50), 60.7),
        (("synthia", "cityscapes", "csa", 50, 0.5), None),
        (("folder", "cityscapes", "csa", 50), None),
    ],
)
def test_the_papers_number_is_given_for_its_own_experiments_only(words, expected):
    assert paper.miou(*words) == expected


@pytest.mark.parametrize(
    ("file", "labelled", "expected"),
    [("paper", 100, {None: 54.2}), ("gta_fcsa", 1000, {None: 63.8}), ("synthia_csa", 200, {"synthia13": 64.8})],
)
def test_a_run_of_the_papers_settings_has_the_papers_number(file, labelled, expected, tmp_path):
    settings = config.load(small_runs.ROOT / f"configs/{file}.json", [f"target.labelled={labelled}"])
    run = results.Run(tmp_path, "run", settings.method, None, labelled, 0, settings)
    subsets = (None, "synthia16", "synthia13")
    assert {s: run.paper_miou(s) for s in subsets if run.paper_miou(s) is not None} == expected


@pytest.mark.parametrize(
    "words",
    [
        ["losses.lambda_gadv=0.5"],
        ["losses.direction=target_to_source"],
        ["model.rates=[6,12]"],
        ["validation.split=train"],
        ["validation=null"],
        ["target.labelled_list=mine.txt"],
        ["classes=synthia16"],
        ["self_training.weight=1"],
    ],
)
def test_another_experiment_has_not_the_papers_number(words, tmp_path):
    settings = config.load(small_runs.ROOT / "configs/paper.json", ["target.labelled=100", *words])
    run = results.Run(tmp_path, "run", "csa", None, 100, 0, settings)
    assert {run.paper_miou(subset) for subset in (None, "synthia16", "synthia13")} == {None}


def test_runs_of_other_settings_in_one_folder_are_told_apart(tmp_path):
    made_runs.make(tmp_path / "a", "csa", seed=0)
    made_runs.make(tmp_path / "b", "csa", seed=1)
    made_runs.make(tmp_path / "c", "csa", seed=0, losses={"lambda_sadv": 0.5})
    made_runs.make(tmp_path / "d", "ga", seed=0)
    found = {run.name: run.label for run in results.read(tmp_path)}
    other = "GA+CSA losses.lambda_sadv="
    assert found == {"a": f"{other}null", "b": f"{other}null", "c": f"{other}0.5", "d": "GA"}


def test_what_most_settings_of_a_method_have_is_not_named(tmp_path):
    # Three seeds of a variant are one kind of settings, so they do not outvote the others.
    for seed in (0, 1, 2):
        made_runs.make(tmp_path / f"weak{seed}", "csa", seed=seed, losses={"lambda_sadv": 0.5})
    made_runs.make(tmp_path / "plain", "csa")
    made_runs.make(tmp_path / "other", "csa", losses={"lambda_gadv": 0.5})
    runs = results.read(tmp_path)
    found = {run.name: run.label for run in runs}
    assert found.pop("plain") == "GA+CSA"
    assert found.pop("other") == "GA+CSA losses.lambda_gadv=0.5"
    assert set(found.values()) == {"GA+CSA losses.lambda_sadv=0.5"}
    assert len(found) == 3
    gains = tables.tables(runs)[0].gains
    assert set(gains) == {f"GA+CSA losses.lambda_{name}=0.5 over GA+CSA" for name in ("sadv", "gadv")}


def test_self_training_is_a_method_of_its_own_in_tables(tmp_path):
    made_runs.make(tmp_path / "a", "csa")
    made_runs.make(tmp_path / "b", "csa", self_training={"weight": 0.5})
    assert [run.label for run in results.read(tmp_path)] == ["GA+CSA", "GA+CSA + self-training"]


def test_runs_of_two_class_sets_are_refused(tmp_path):
    made_runs.make(tmp_path / "a")
    made_runs.make(tmp_path / "b", classes=[*"vwxyz"])
    with pytest.raises(config.ConfigError, match=r"one class set\. Received: a and b"):
        results.read(tmp_path)


def test_a_broken_file_of_features_counts_as_none(tmp_path):
    folder = made_runs.make(tmp_path / "run")
    file = folder / "features/after.npz"
    file.write_bytes(file.read_bytes()[:100])
    (run,) = results.read(folder)
    assert run.features("after") is None
    assert run.features("before") is not None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a/result.json", '{"last": 5}', "last must hold the scores of a snapshot"),
        ("a/result.json", '{"last": {"miou": 1, "iou": {"road": "x"}}}', "last must hold the scores of a snapshot"),
        ("a/result.json", '{"best": {"miou": 1, "confusion": [[1]]}}', "best must hold the scores of a snapshot"),
        ("a/result.json", '{"labelled_images": {}}', "labelled_images must be a number of images. Received: {}."),
        ("a/run.json", '{"sessions": 5}', "sessions must be those of a run"),
        ("a/run.json", '{"sessions": [{"devices": 5}]}', "sessions must be those of a run"),
        ("status/a.json", '{"minutes": []}', "minutes must be what a sweep notes. Received: []."),
        ("status/a.json", '{"failed": 3}', "failed must be what a sweep notes. Received: 3."),
        ("sweep.json", "[3]", "each entry must have name"),
        ("sweep.json", '[{"name": "a", "method": "csa", "labelled": 5, "seed": 0}]', "each entry must have name"),
        (
            "sweep.json",
            '[{"name": "a", "method": "csa", "variant": null, "labelled": "some", "seed": 0}]',
            "each entry must have name",
        ),
    ],
)
def test_damaged_file_is_named(tmp_path, name, content, message):
    made_runs.make_sweep(tmp_path, labelled=(5,), seeds=(0,), methods=("csa",))
    (tmp_path / "csa-5-0").rename(tmp_path / "a")
    cell = {"name": "a", "method": "csa", "variant": None, "labelled": 5, "seed": 0}
    (tmp_path / "sweep.json").write_text(json.dumps([cell]))
    assert len(results.read(tmp_path)) == 1
    (tmp_path / name).write_text(content)
    with pytest.raises(config.ConfigError) as caught:
        tables.tables(results.read(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert message in str(caught.value)


def test_lines_of_the_log_with_other_values_than_their_names_say_are_left_out(tmp_path):
    made_runs.make(tmp_path / "run")
    known = len(results.read(tmp_path / "run")[0].records)
    with open(tmp_path / "run/log.jsonl", "a") as log:
        log.write('{"step": 9, "segmentation_loss_source": []}\n{"step": 9, "gradient_shares": {"a": "b"}}\n')
        log.write('[1]\n{"step": "x"}\n')
    assert len(results.read(tmp_path / "run")[0].records) == known
