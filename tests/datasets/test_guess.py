"""`ass-tf datasets --guess`: a class file to start from, by what labels hold."""

import json

import numpy as np
import pytest
from PIL import Image

from ass_tf.config import schema
from ass_tf.datasets.__main__ import main
from ass_tf.datasets.finding import open_domain


def save(folder, *labels):
    folder.mkdir(parents=True)
    for number, pixels in enumerate(labels):
        Image.fromarray(np.array(pixels)).save(folder / f"{number}.png")
    return folder


def guess(capsys, *words):
    status = main(["--guess", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_ids_are_listed_in_their_order_with_their_shares(tmp_path, capsys):
    folder = save(tmp_path / "labels", np.array([[7, 7, 7, 300]], np.uint16), np.array([[11, 7, 7, 7]], np.uint16))
    status, out, err = guess(capsys, folder)
    assert (status, json.loads(out)) == (0, {"7": "class 7", "11": "class 11", "300": "class 300"})
    assert err.splitlines() == [
        "2 of 2 labels looked at",
        "       7    75.00%  class 7",
        "      11    12.50%  class 11",
        "     300    12.50%  class 300",
    ]


def test_colours_are_listed_by_their_share_and_known_ones_named(tmp_path, capsys):
    pixels = np.zeros((200, 100, 3), np.uint8)
    pixels[:150] = 128, 64, 128
    pixels[150:] = 1, 2, 3
    pixels[0, 0] = 9, 9, 9  # of a blurred edge
    folder = save(tmp_path / "labels", pixels)
    status, out, err = guess(capsys, folder)
    assert (status, json.loads(out)) == (0, {"#804080": "road", "#010203": "colour 2", "*": None})
    assert "1 more colours     0.01%" in err


def test_what_is_printed_is_a_class_file_that_fits(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 3, (40, 60, 1), np.uint8) * np.uint8([[[40, 50, 60]]])
    save(tmp_path / "labels", pixels)
    save(tmp_path / "images", pixels)
    _, out, _ = guess(capsys, tmp_path / "labels")
    (tmp_path / "classes.json").write_text(out)
    classes = list(json.loads(out).values())
    domain = open_domain(classes, schema.Domain(dataset="folder", root=str(tmp_path), size=(32, 48)))
    assert sorted(domain.table[:3]) == [0, 1, 2]


def test_picture_shows_the_label_over_its_photograph_and_a_legend(tmp_path, capsys):
    save(tmp_path / "labels", np.uint8([[0] * 400 + [1] * 400] * 300))
    save(tmp_path / "images", np.full((300, 800, 3), 200, np.uint8))
    _, _, err = guess(capsys, tmp_path / "labels", "--picture", tmp_path / "guess.png")
    with Image.open(tmp_path / "guess.png") as picture:
        assert picture.width == 800
        assert picture.height > 300
        assert picture.getpixel((10, 10)) != picture.getpixel((790, 10))
    assert f"{tmp_path / 'guess.png'}: {tmp_path / 'labels/0.png'}" in err


def test_many_ids_are_all_listed_in_a_class_file_that_fits(tmp_path, capsys):
    save(tmp_path / "labels", np.arange(400).reshape(20, 20).astype(np.uint16))
    save(tmp_path / "images", np.zeros((20, 20, 3), np.uint8))
    status, out, _ = guess(capsys, tmp_path / "labels", "--picture", tmp_path / "p.png")
    (tmp_path / "classes.json").write_text(out)
    domain = open_domain(["class 0", "class 399"], schema.Domain(dataset="folder", root=str(tmp_path), size=(32, 48)))
    assert (status, domain.table[[0, 399, 7]].tolist()) == (0, [0, 1, 255])


def test_picture_is_drawn_from_within_the_folder_and_of_nested_labels(tmp_path, capsys, monkeypatch):
    save(tmp_path / "labels/deep", np.zeros((300, 400), np.uint8))
    save(tmp_path / "images/deep", np.full((300, 400, 3), 200, np.uint8))
    monkeypatch.chdir(tmp_path / "labels")
    assert guess(capsys, ".", "--picture", tmp_path / "nested.png")[0] == 0
    monkeypatch.chdir(tmp_path / "labels/deep")
    assert guess(capsys, ".", "--picture", tmp_path / "bare.png")[0] == 0
    pixels = [Image.open(tmp_path / f"{name}.png").getpixel((10, 10)) for name in ("nested", "bare")]
    assert min(pixels[0]) > max(pixels[1]) * 0.3  # over the photograph; without one, in the class's colour alone
    assert pixels[0] != pixels[1]


def test_picture_that_cannot_be_written_is_told_before_the_labels_are_read(tmp_path, capsys):
    folder = save(tmp_path / "labels", np.zeros((4, 4), np.uint8))
    status, out, err = guess(capsys, folder, "--picture", folder / "0.png/p.png")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("error: the folder of --picture must be a folder. Received: ")


@pytest.mark.parametrize("case", ["empty", "mixed", "broken", "photographs"])
def test_what_cannot_be_guessed_is_told_in_one_line(tmp_path, capsys, case):
    labels = [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)]
    folder = save(tmp_path / "labels", *([] if case == "empty" else labels if case == "mixed" else labels[:1]))
    if case == "photographs":
        coloured = np.arange(15000, dtype=np.uint32).reshape(100, 150, 1) >> [0, 4, 8]
        Image.fromarray(coloured.astype(np.uint8)).save(folder / "0.png")
    if case == "broken":
        (folder / "0.png").write_bytes(b"x")
    status, out, err = guess(capsys, folder)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {folder}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ([], "either CONFIG or --guess FOLDER is required"),
        (["a.json", "--guess", "b"], "either CONFIG or --guess FOLDER is required"),
        (["a.json", "--picture", "b"], "--picture goes with --guess"),
        (["--guess", "a", "--list", "source"], "--set and --list go with CONFIG"),
        (["--guess", "a", "--set", "seed=1"], "--set and --list go with CONFIG"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, rule, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert rule in capsys.readouterr().err
