"""Sweeps' files: what is refused, and where the files that they name are found."""

import json

import pytest
import small_runs
from sweeps import plan as plan  # a fixture

from ass_tf import config
from ass_tf.studies import plan as plans

SMALL = {"seeds": [0], "labelled": [2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {"csa": {"fil": "csa.json"}}}, "methods.csa.file must be given."),
        (
            {"methods": {"csa": {"file": "csa.json", "sett": {}}}},
            "methods.csa.sett is no setting; the nearest is methods.csa.set. Received: {}.",
        ),
        ({"methods": {"csa": 3}}, "methods.csa must be an object. Received: 3."),
        ({"methods": {"csa": ""}}, "methods.csa must not be empty. Received: ."),
        ({"methods": {"csa": "n" * 300}}, "methods.csa must have parts of at most 255 bytes."),
        ({"labelled": [0]}, "there must be a run. Received: none, or none that can do without labels."),
    ],
)
def test_grid_that_cannot_be_used_is_told_by_its_key(plan, changes, message):
    file = plan(**changes)
    with pytest.raises(config.ConfigError) as caught:
        plans.cells_of(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [([], "there must be a run. Received: none"), (5, "the content must be an object. Received: 5.")],
)
def test_file_without_a_grid_is_refused(tmp_path, content, message):
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(config.ConfigError, match=message):
        plans.cells_of(tmp_path / "plan.json")


def test_run_that_two_grids_name_is_one_if_its_settings_are_equal(plan):
    grids = [
        json.loads(plan(set=words, **SMALL).read_text()) for words in ({}, {"train.steps": 14}, {"train.steps": 7})
    ]
    file = plan()
    file.write_text(json.dumps(grids[:2]))
    assert [cell.name for cell in plans.cells_of(file)] == ["oracle-2-0", "csa-2-0"]
    file.write_text(json.dumps(grids))
    with pytest.raises(config.ConfigError, match=r"oracle-2-0 must be one run\. Received: two with other settings\."):
        plans.cells_of(file)


def test_settings_file_that_is_not_beside_the_plan_is_a_shipped_one(plan):
    (cell,) = plans.cells_of(plan(methods={"csa": "gta_csa.json"}, **SMALL))
    assert cell.file == small_runs.ROOT / "configs/gta_csa.json"
    assert cell.settings == config.load("gta_csa.json", ["target.labelled=2"])
