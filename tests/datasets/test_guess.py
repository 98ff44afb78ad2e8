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


@pytest.mark.parametrize("case", ["empty", "mixed", "broken"])
def test_what_cannot_be_guessed_is_told_in_one_line(tmp_path, capsys, case):
    labels = [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)]
    folder = save(tmp_path / "labels", *([] if case == "empty" else labels if case == "mixed" else labels[:1]))
    if case == "broken":
        (folder / "0.png").write_bytes(b"x")
    status, out, err = guess(capsys, folder)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {folder}")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["a.json", "--guess", "b"]])
def test_one_of_settings_and_folder_is_asked_for(words, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert "either CONFIG or --guess FOLDER is required" in capsys.readouterr().err
