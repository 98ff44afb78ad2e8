"""Confidence and pseudo-labels: of a model that gives them, whole and in tiles, and as a data set to train on."""

import csv
import json
import os

import exports
import numpy as np
import pytest
from PIL import Image

from ass_tf import datasets
from ass_tf.config import schema
from ass_tf.datasets import decoding
from ass_tf.export import agreement, to_onnx
from street_inference import command, flow, images, pseudo, summary


@pytest.fixture(scope="module")
def confident(finished):
    """The run as a model that gives its confidence."""
    file = finished / "export" / "confident.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), "--confidence"]) == 0
    return file


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(1)
    for name, size in (("a.png", (32, 64, 3)), ("b.jpg", (50, 100, 3))):
        blocks = rng.integers(0, 256, (size[0] // 2 + 1, size[1] // 2 + 1, 3), np.uint8)
        Image.fromarray(blocks.repeat(2, 0).repeat(2, 1)[: size[0], : size[1]]).save(folder / name)
    turned = Image.fromarray(rng.integers(0, 256, (60, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright, it is 30 x 60
    turned.save(folder / "c.jpg", exif=exif)
    return folder


def rows_of(folder):
    return list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))


def data_set(root):
    classes = json.loads((root / "classes.json").read_text())
    assert classes["255"] is None
    section = schema.Domain(dataset="folder", root=str(root), size=(32, 64))
    return datasets.open_domain(tuple(classes.values())[:-1], section)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_map_is_the_models_own_and_the_table_has_its_mean_by_class(confident, photographs, tmp_path):
    done = exports.infer(confident, photographs, "--out", tmp_path, "--confidence")
    assert done.returncode == 0, done.stderr
    pixels = images.decode(photographs / "a.png")
    labels, sure = agreement.session_of(confident).run(["labels", "confidence"], {"image": np.asarray(pixels)[None]})
    np.testing.assert_array_equal(read(tmp_path / "a_labels.png"), labels[0])
    np.testing.assert_array_equal(read(tmp_path / "a_confidence.png"), sure[0])
    row = rows_of(tmp_path)[0]
    means = {key.removeprefix("confidence: "): value for key, value in row.items() if key.startswith("confidence: ")}
    assert len(means) == 19
    for number, (name, mean) in enumerate(means.items()):
        there = labels[0] == number
        assert (mean == "") == (not there.any()) == (float(row[name]) == 0)
        if there.any():
            assert float(mean) == pytest.approx(sure[0][there].mean() / 255, abs=1e-5)
    with Image.open(tmp_path / "b_confidence.png") as picture:
        assert picture.size == (100, 50)


def test_tiles_give_the_confidence_of_the_tile_that_decides(confident, photographs, tmp_path):
    words = ["--outputs", "labels", "confidence", "--tile", "32x64", "--overlap", "8"]
    done = exports.infer(confident, photographs / "b.jpg", "--out", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    pixels = np.asarray(images.decode(photographs / "b.jpg"))
    labels, sure = agreement.session_of(confident).run(["labels", "confidence"], {"image": pixels[None, :32, :64]})
    np.testing.assert_array_equal(read(tmp_path / "b_labels.png")[:25, :50], labels[0, :25, :50])
    np.testing.assert_array_equal(read(tmp_path / "b_confidence.png")[:25, :50], sure[0, :25, :50])


@pytest.mark.parametrize("words", [[], ["--workers", "2"]])
def test_pseudo_labels_are_a_data_set_in_which_what_is_unsure_takes_no_part(confident, photographs, tmp_path, words):
    out = tmp_path / "pseudo"
    done = exports.infer(confident, photographs, "--out", out, "--pseudo-labels", "0.3", *words)
    assert done.returncode == 0, done.stderr
    assert not list(out.glob("*_labels.png"))
    domain = data_set(out)
    assert [pair.name for pair in domain.pairs] == ["a", "b", "c"]
    for pair in domain.pairs:
        photograph, label = decoding.open_image(pair.image), decoding.open_label(pair.label, "folder")
        decoding.check_proportions(pair, photograph, label)
        assert label.size == photograph.size
    labels, sure = agreement.session_of(confident).run(
        ["labels", "confidence"], {"image": read(photographs / "a.png")[None]}
    )
    expected = np.where(sure[0] >= 77, labels[0], 255)  # 76.5 is 0.3
    assert 0.05 < (expected == 255).mean() < 0.95
    np.testing.assert_array_equal(read(out / "labels/a.png"), expected)


def test_resumed_call_makes_what_is_missing_of_a_pair(confident, photographs, tmp_path):
    words = [confident, photographs, "--out", tmp_path, "--pseudo-labels", "0.5", "--confidence"]
    assert exports.infer(*words).returncode == 0
    before = (tmp_path / "labels/b.png").read_bytes()
    (tmp_path / "labels/b.png").unlink()
    (tmp_path / "images/c.jpg").unlink()
    done = exports.infer(*words, "--resume")
    assert "1 done before" in done.stdout
    assert (tmp_path / "labels/b.png").read_bytes() == before
    assert len(rows_of(tmp_path)) == 3
    other = exports.infer(*words[:-2], "0.6", "--confidence", "--resume")
    assert other.returncode == 2
    assert "its results were made with sure 128; now it is 153" in other.stderr


@pytest.mark.parametrize("words", [["--confidence"], ["--outputs", "confidence"], ["--pseudo-labels", "0.9"]])
def test_model_without_confidence_is_named(model, photographs, tmp_path, words):
    done = exports.infer(model, photographs, "--out", tmp_path / "out", *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("export it with `ass-tf export --confidence`.")
    assert not (tmp_path / "out").exists()


def test_share_must_be_one(confident, photographs, tmp_path):
    for share in ("1.5", "-0.1", "nan", "high"):
        done = exports.infer(confident, photographs, "--out", tmp_path / "out", "--pseudo-labels", share)
        assert done.returncode == 2
        told = done.stderr.splitlines()[-1]
        assert told.endswith(f"argument --pseudo-labels: must be from 0 to 1. Received: {share}")


def test_photograph_of_a_suffix_that_no_data_set_knows_is_in_it_all_the_same(confident, photographs, tmp_path):
    for name in ("d.gif", "e"):
        (tmp_path / name).write_bytes((photographs / "a.png").read_bytes())
    words = [tmp_path / "d.gif", tmp_path / "e", "--out", tmp_path / "pseudo", "--pseudo-labels", "0.3"]
    assert exports.infer(confident, *words).returncode == 0
    pairs = data_set(tmp_path / "pseudo").pairs
    assert [(pair.name, pair.label.name) for pair in pairs] == [("d", "d.png"), ("e", "e.png")]
    for pair in pairs:
        np.testing.assert_array_equal(decoding.read_image(pair.image), read(photographs / "a.png"))
    assert "2 done before" in exports.infer(confident, *words, "--resume").stdout


@pytest.mark.parametrize("theirs", ["classes.json", "labels/a.png", "images/a.png"])
def test_data_set_that_somebody_else_made_is_not_written_into(confident, photographs, tmp_path, theirs):
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_bytes(b"by hand")
    done = exports.infer(confident, photographs, "--out", tmp_path, "--pseudo-labels", "0.5")
    assert done.returncode == 2
    assert f"{tmp_path / theirs.partition('/')[0]}: is of a data set that no earlier call made" in done.stderr
    assert {path.read_bytes() for path in tmp_path.rglob("*.*")} == {b"by hand"}


def test_photograph_that_goes_in_the_meantime_is_skipped_and_the_rest_is_done(
    confident, photographs, tmp_path, monkeypatch, capsys
):
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes((photographs / name).read_bytes())
    run = flow.run

    def removes(model, batch, options):
        for photograph in batch:
            if photograph.path.name == "a.png":
                photograph.path.unlink()
        return run(model, batch, options)

    monkeypatch.setattr(flow, "run", removes)
    words = [confident, tmp_path / "*.*g", "--out", tmp_path / "out", "--pseudo-labels", "0.5"]
    assert command.main([str(word) for word in words]) == 1
    assert f"skipped: {tmp_path / 'a.png'}: No such file or directory." in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").glob("*/*")) == ["b.jpg", "b.png"]


@pytest.mark.parametrize(
    "write",
    [lambda folder: pseudo.write_classes(folder, ["road"]), lambda folder: summary.note_settings(folder, {}, True)],
)
def test_shards_may_write_what_they_share_at_the_same_time(tmp_path, monkeypatch, write):
    replace = os.replace

    def replace_after_another_shard(*names):
        monkeypatch.setattr(os, "replace", replace)
        write(tmp_path)
        replace(*names)

    monkeypatch.setattr(os, "replace", replace_after_another_shard)
    write(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
