"""The command `select`: its files, what it chooses among, and what it refuses."""

import csv
import shutil

import numpy as np
import pytest
import small_runs
import tensorflow as tf
from PIL import Image

from ass_tf import config, datasets, select
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder
from ass_tf.scoring import choices, predictions
from ass_tf.system import process, storage


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


def test_photographs_with_a_label_are_those_of_the_run_whatever_has_got_one_since(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    settings = RunFolder(finished).settings()
    drawn = {pair.name for pair in datasets.open_roles(settings, ["labelled"])["labelled"].pairs}
    everything = [pair.name for pair in datasets.open_roles(settings, ["unlabelled"])["unlabelled"].pairs]
    others = [name for name in everything if name not in drawn]
    (tmp_path / "run/data").mkdir()
    (tmp_path / "run/data/labelled.txt").write_text("".join(f"{name}\n" for name in others))
    assert call(tmp_path / "run", tmp_path / "l.txt", "--count", 2) == 0
    names = (tmp_path / "l.txt").read_text().splitlines()
    assert names[:2] == others
    assert set(names[2:]) == drawn
    (tmp_path / "run/data/labelled.txt").write_text("gone\n")
    assert call(tmp_path / "run", tmp_path / "m.txt", "--count", 1) == 1


def test_too_many_are_refused_before_the_work_begins(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(process, "start_tensorflow", lambda: pytest.fail("the work has begun"))
    assert call(finished, tmp_path / "l.txt", "--count", 3) == 1
    assert "--count must be at most 2, the photographs to choose among. Received: 3." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "rule"), [("l.csv", "not end in .html or .csv"), ("l.HTML", "not end in"), (".", "be a file")]
)
def test_list_that_would_be_its_own_table_or_page_is_refused(finished, tmp_path, capsys, monkeypatch, out, rule):
    monkeypatch.chdir(tmp_path)
    assert call(finished, out, "--count", 1) == 1
    assert f"error: --out must {rule}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_lack_of_memory_is_one_line(finished, tmp_path, capsys, monkeypatch):
    def fails(image):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(predictions, "build_forward", lambda generator: fails)
    assert call(finished, tmp_path / "l.txt", "--count", 1) == 1
    assert capsys.readouterr().err == f"error: {finished}: OOM when allocating tensor\n"
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing_that_would_stop_a_second_try(finished, tmp_path, capsys, monkeypatch):
    write = storage.write_text

    def full(path, text):
        if path.suffix == ".csv":
            raise OSError(28, "No space left on device", str(path))
        write(path, text)

    monkeypatch.setattr(storage, "write_text", full)
    assert call(finished, tmp_path / "l.txt", "--count", 1) == 1
    assert f"error: {tmp_path / 'l.csv'}: No space left on device." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_page_shows_what_the_network_gives_and_says_where_it_ends(finished, tmp_path, monkeypatch):
    shown = []
    render = choices.render
    monkeypatch.setattr(choices, "MOST", 1)
    monkeypatch.setattr(choices, "render", lambda drawn, *rest: render(shown.extend(drawn) or shown, *rest))
    assert call(finished, tmp_path / "l.txt", "--count", 2) == 0
    page = (tmp_path / "l.html").read_text()
    assert "The first 1 of 2 choices are shown." in page
    assert page.count("<article>") == len(shown) == 1
    forward = predictions.build_forward(trained.load(finished)[1])
    expected = predictions.predict(forward, shown[0].image.astype("f"), shown[0].image.shape[:2])
    assert (shown[0].prediction != expected).mean() < 0.01  # the picture is rounded to 8 bits
    assert shown[0].doubt.shape == expected.shape


def test_lists_of_before_stay(finished, tmp_path, capsys):
    for name in ("next.txt", "next.html"):
        (tmp_path / name).write_text("dear\n")
        assert call(finished, tmp_path / "next.txt", "--count", 1) == 1
        assert "--out must name a new file" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "dear\n"
        (tmp_path / name).unlink()
