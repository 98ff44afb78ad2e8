"""Tables of runs, as Markdown and as CSV."""

import csv
import io
import json
import statistics

import made_runs
import pytest

from ass_tf.studies import results, tables
from ass_tf.system import storage


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return made_runs.make_sweep(tmp_path_factory.mktemp("tables") / "sweep")


def test_table_has_mean_and_spread_over_seeds(swept):
    runs = results.read(swept)
    (table,) = tables.tables(runs)
    assert table.columns == [20, "all"]
    assert list(table.rows) == ["oracle", "joint", "GA", "GA+FCSA", "GA+CSA"]
    place = table.rows["GA+CSA"][1]
    scores = [json.loads((swept / f"csa-all-{seed}/result.json").read_text())["last"]["miou"] for seed in (0, 1)]
    assert place.mean == pytest.approx(statistics.mean(scores))
    assert place.text == f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f}"


def test_markdown_and_csv_say_the_same(swept):
    runs = results.read(swept)
    lines, gains = (t.splitlines() for t in tables.as_markdown(tables.tables(runs)[0]).split("\n\n"))
    assert gains[0] == lines[0]
    assert lines[0] == "| labelled images | 20 | all |"
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(runs))))
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
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    (table,) = tables.tables(results.read(tmp_path))
    assert table.gains == {"GA+CSA over oracle": ["+2.0 ± 1.4 (2 of 3)"]}
    (alone,) = tables.tables([run for run in results.read(tmp_path) if run.method == "csa"])
    assert alone.gains == {}
    assert "over" not in tables.as_markdown(alone)


def test_variants_are_compared_with_the_same_variant(tmp_path):
    cells = []
    for method in ("oracle", "csa"):
        for variant in ("a", "b"):
            name = f"{method}-{variant}"
            made_runs.make(tmp_path / name, method)
            cells.append({"name": name, "method": method, "variant": variant, "labelled": 20, "seed": 0})
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    (table,) = tables.tables(results.read(tmp_path))
    assert list(table.gains) == ["GA+CSA a over oracle a", "GA+CSA b over oracle b"]
    for cell in cells[:2]:
        cell["variant"] = None
    storage.write_text(tmp_path / "sweep.json", json.dumps([cells[0], *cells[2:]]))
    (table,) = tables.tables(results.read(tmp_path))
    assert list(table.gains) == ["GA+CSA a over oracle", "GA+CSA b over oracle"]


def test_variants_are_compared_with_their_method_without_one(tmp_path):
    cells = []
    for name, miou in (("weak", 51.0), (None, 50.0), ("strong", 48.0)):  # the plain one is not the first
        folder = f"csa-{name}"
        made_runs.make(tmp_path / folder, "csa")
        result = json.loads((tmp_path / folder / "result.json").read_text())
        result["last"]["miou"] = miou
        (tmp_path / folder / "result.json").write_text(json.dumps(result))
        cells.append({"name": folder, "method": "csa", "variant": name, "labelled": 20, "seed": 0})
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    (table,) = tables.tables(results.read(tmp_path))
    assert list(table.rows) == ["GA+CSA", "GA+CSA weak", "GA+CSA strong"]
    assert table.gains == {"GA+CSA weak over GA+CSA": ["+1.0"], "GA+CSA strong over GA+CSA": ["-2.0"]}


def test_every_pair_of_methods_is_compared_once(swept):
    (table,) = tables.tables(results.read(swept))
    assert len(table.gains) == 5 * 4 // 2
    first, *_, last = table.gains
    assert (first, last) == ("joint over oracle", "GA+CSA over GA+FCSA")


def test_a_column_knows_its_number_of_labels_from_any_of_its_runs(swept, tmp_path):
    cells = json.loads((swept / "sweep.json").read_text())
    cells.append({"name": "csa-all-2", "method": "csa", "variant": None, "labelled": "all", "seed": 2})  # not done
    for cell in cells:
        if (swept / cell["name"]).exists():
            (tmp_path / cell["name"]).symlink_to(swept / cell["name"])
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    (table,) = tables.tables(results.read(tmp_path))
    assert table.counts == [20, 40]
