"""Runs read from their folders, and tables of them."""

import csv
import io
import json
import statistics

import made_runs
import numpy as np
import pytest
import small_runs

from ass_tf import config, files, paper, results


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return made_runs.make_sweep(tmp_path_factory.mktemp("results") / "sweep")


def test_table_has_mean_and_spread_over_seeds(swept):
    runs = results.read(swept)
    (table,) = results.tables(runs)
    assert table.columns == [20, "all"]
    assert list(table.rows) == ["oracle", "joint", "GA", "GA+FCSA", "GA+CSA"]
    place = table.rows["GA+CSA"][1]
    scores = [json.loads((swept / f"csa-all-{seed}/result.json").read_text())["last"]["miou"] for seed in (0, 1)]
    assert place.mean == pytest.approx(statistics.mean(scores))
    assert place.text == f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f}"


def test_markdown_and_csv_say_the_same(swept):
    runs = results.read(swept)
    lines, gains = (t.splitlines() for t in results.as_markdown(results.tables(runs)[0]).split("\n\n"))
    assert gains[0] == lines[0]
    assert lines[0] == "| labelled images | 20 | all |"
    rows = list(csv.DictReader(io.StringIO(results.as_csv(runs))))
    assert len(rows) == 20
    mine = [float(r["miou_last"]) for r in rows if r["method"] == "csa" and r["labelled"] == "20"]
    assert lines[-1].startswith(f"| GA+CSA | {statistics.mean(mine):.1f} ± ")
    assert float(rows[0]["iou_last_road"]) == pytest.approx(runs[0].last["iou"]["road"], abs=1e-3)
    assert {row["minutes"] for row in rows} == {"2.5"}


def test_differences_are_of_the_same_seed(tmp_path):
    cells = []
    for method, seed, miou in (("oracle", 0, 40), ("oracle", 1, 50), ("csa", 1, 53), ("csa", 0, 41), ("csa", 2, 99)):
        made_runs.make(tmp_path / f"{method}{seed}", method, labelled=5, seed=seed)
        file = tmp_path / f"{method}{seed}/result.json"
        result = json.loads(file.read_text())
        result["last"]["miou"] = float(miou)
        file.write_text(json.dumps(result))
        cells.append({"name": f"{method}{seed}", "method": method, "variant": None, "labelled": 5, "seed": seed})
    files.write_text(tmp_path / "sweep.json", json.dumps(cells))
    (table,) = results.tables(results.read(tmp_path))
    assert table.gains == {"GA+CSA over oracle": ["+2.0 ± 1.4 (2 of 3)"]}
    (alone,) = results.tables([run for run in results.read(tmp_path) if run.method == "csa"])
    assert alone.gains == {}
    assert "over" not in results.as_markdown(alone)


def test_runs_that_failed_or_are_missing_are_told_apart(swept, tmp_path):
    cells = [{"name": n, "method": "csa", "variant": None, "labelled": 5, "seed": i} for i, n in enumerate("abc")]
    files.write_text(tmp_path / "sweep.json", json.dumps(cells))
    made_runs.make(tmp_path / "a", labelled=5)
    files.write_text(tmp_path / "status/b.json", json.dumps({"failed": "the disk is full", "minutes": 1, "at": 0}))
    runs = results.read(tmp_path)
    assert [run.failed for run in runs] == [None, "the disk is full", None]
    assert [run.settings is None for run in runs] == [False, True, True]
    assert results.tables(runs)[0].rows["GA+CSA"][0].text.endswith(" (1 of 3)")
    assert results.as_csv(runs).splitlines()[2].endswith("the disk is full")


def test_a_single_run_and_a_plain_folder_of_runs_are_read_too(swept, tmp_path):
    (run,) = results.read(swept / "csa-20-0")
    assert (run.method, run.labelled, run.seed, run.label) == ("csa", 20, 0, "GA+CSA")
    for name in ("x", "y"):
        made_runs.make(tmp_path / name, "ga", seed=ord(name))
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


def test_a_log_line_cut_short_is_left_out(tmp_path):
    made_runs.make(tmp_path / "run")
    with open(tmp_path / "run/log.jsonl", "a") as log:
        log.write('{"step": 999, "segm')
    (run,) = results.read(tmp_path / "run")
    assert max(record["step"] for record in run.records) == 400


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("gta5", "cityscapes", "resnet101", "csa", 500), 60.2),
        (("gta5", "cityscapes", "resnet101", "csa", "all"), 69.1),
        (("gta5", "cityscapes", "resnet101", "csa", 500, 0.01), 60.2),
        (("gta5", "cityscapes", "resnet101", "csa", 500, 0.1), 59.46),
        (("gta5", "cityscapes", "resnet101", "csa", 200, 0.1), None),
        (("gta5", "cityscapes", "resnet101", "fcsa", 100, 1.0), 54.11),
        (("gta5", "cityscapes", "resnet101", "joint", 100), None),
        (("gta5", "camvid", "resnet101", "csa", 500), None),
        (("gta5", "cityscapes", "mobilenetv2", "csa", 500), None),
        (("synthia", "cityscapes", "resnet101", "ga", 0), 46.7),
        (("synthia", "cityscapes", "resnet101", "csa", 50), 60.7),
        (("synthia", "cityscapes", "resnet101", "csa", 50, 0.5), None),
        (("folder", "cityscapes", "resnet101", "csa", 50), None),
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
    assert {s: run.paper(s) for s in subsets if run.paper(s) is not None} == expected
