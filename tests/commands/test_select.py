"""The command `select`: its files, what it chooses among, and what it refuses."""

import csv
import shutil

import numpy as np
import pytest
import small_runs
from PIL import Image

from ass_tf import config, datasets, select
from ass_tf.runs.folder import RunFolder


def call(run, out, *words):
    return select.main(["--run", str(run), "--out", str(out), *map(str, words)])


def test_list_holds_the_labelled_photographs_and_then_the_chosen_and_the_run_is_as_it_was(finished, tmp_path, capsys):
    before = small_runs.content(finished)
    out = tmp_path / "next.txt"
    assert call(finished, out, "--count", 2) == 0
    assert small_runs.content(finished) == before
    settings = RunFolder(finished).settings()
    labelled = [pair.name for pair in datasets.open_roles(settings, ["labelled"])["labelled"].pairs]
    names = out.read_text().splitlines()
    assert names[:2] == labelled
    assert len(set(names)) == 4
    assert capsys.readouterr().out.splitlines() == names[2:]
    rows = list(csv.DictReader((tmp_path / "next.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == names[2:]
    assert all(0 < float(row["uncertainty"]) < 1 and float(row["distance"]) > 0 for row in rows)
    text = (tmp_path / "next.html").read_text()
    assert text.count("<article>") == 2
    assert text.count("<img ") == 6


def test_the_list_is_what_the_next_run_takes(finished, tmp_path):
    out = tmp_path / "next.txt"
    assert call(finished, out, "--count", 1) == 0
    target = RunFolder(finished).settings().target.model_copy(update={"labelled": "all", "labelled_list": str(out)})
    settings = RunFolder(finished).settings().model_copy(update={"target": target})
    chosen = datasets.open_roles(settings, ["labelled"])["labelled"]
    assert sorted(pair.name for pair in chosen.pairs) == sorted(out.read_text().splitlines())


def test_photographs_of_any_size_in_a_folder_and_a_broken_one(finished, tmp_path, capsys):
    folder, rng = tmp_path / "more [1]", np.random.default_rng(0)
    folder.mkdir()
    for k, size in enumerate([(40, 30, 3), (90, 200, 3), (64, 64, 3)]):
        Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(folder / f"photo {k}.jpg")
    (folder / "broken.jpg").write_bytes(b"no photograph")
    assert call(finished, tmp_path / "l.txt", "--count", 3, "--images", folder, "--measure", "entropy") == 0
    assert sorted((tmp_path / "l.txt").read_text().splitlines()) == [f"photo {k}.jpg" for k in range(3)]
    assert f"skipped: {folder / 'broken.jpg'}" in capsys.readouterr().err
    assert call(finished, tmp_path / "m.txt", "--count", 4, "--images", folder) == 1
    assert "--count must be at most 3" in capsys.readouterr().err
    assert not (tmp_path / "m.txt").exists()
    assert not (tmp_path / "m.html").exists()


@pytest.mark.parametrize("by", ["uncertainty", "coverage"])
def test_rules_can_be_named(finished, tmp_path, by):
    assert call(finished, tmp_path / "l.txt", "--count", 2, "--by", by) == 0


def test_labelled_photographs_that_are_gone_matter_only_where_they_are_the_pool(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    settings = RunFolder(run).settings()
    target = settings.target.model_copy(update={"root": str(tmp_path / "gone")})
    (run / "config.json").write_text(config.dump(settings.model_copy(update={"target": target})))
    assert call(run, tmp_path / "l.txt", "--count", 1) == 1
    assert f"error: {tmp_path / 'gone'}: no such folder." in capsys.readouterr().err
    folder = settings.target.root
    assert call(run, tmp_path / "l.txt", "--count", 1, "--images", f"{folder}/leftImg8bit/train") == 0
    assert "labelled photographs are not there" in capsys.readouterr().err


def test_lists_of_before_stay(finished, tmp_path, capsys):
    for name in ("next.txt", "next.html"):
        (tmp_path / name).write_text("dear\n")
        assert call(finished, tmp_path / "next.txt", "--count", 1) == 1
        assert "--out must name a new file" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "dear\n"
        (tmp_path / name).unlink()
