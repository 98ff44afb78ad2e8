"""Labels that hold colours: class files that list them, and what is said of others."""

import json

import numpy as np
import pytest
from PIL import Image

from ass_tf import datasets, labels
from ass_tf.config import schema
from ass_tf.datasets import DataError, decoding
from ass_tf.datasets.finding import open_domain

ROAD, SKY, CAR = (128, 64, 128), (70, 130, 180), (0, 0, 142)
CLASSES = ("road", "sky", "car")
PIXELS = np.array([[ROAD, ROAD, SKY], [CAR, SKY, (9, 9, 9)]], np.uint8)


def folder(root, classes, image=None):
    """A data set of one image with a label of colours."""
    for name in ("images", "labels"):
        (root / name).mkdir(exist_ok=True)
    Image.fromarray(PIXELS).save(root / "images/a.png")
    (image or Image.fromarray(PIXELS)).save(root / "labels/a.png")
    (root / "classes.json").write_text(json.dumps(classes))
    return open_domain(CLASSES, schema.Domain(dataset="folder", root=str(root), size=(32, 48)))


def ids_of(domain):
    (pair,) = domain.pairs
    label = decoding.open_label(pair.label, domain.dataset, domain.colours)
    return decoding.train_ids_of(label, domain, pair.label).tolist()


@pytest.mark.parametrize(
    "classes",
    [
        {"#804080": "road", "#4682b4": "sky", "#00008E": "car", "*": None},
        {"road": [128, 64, 128], "sky": [70, 130, 180], "car": [[0, 0, 142], [1, 1, 1]], "*": None},
        {"#804080": "road", "sky": [70, 130, 180], "#00008e": "car", "#090909": None},
    ],
)
def test_colours_become_train_ids(tmp_path, classes):
    domain = folder(tmp_path, classes)
    assert ids_of(domain) == [[0, 0, 1], [2, 1, 255]]
    assert datasets.check({"source": domain})["source"].pixels[0, :3].tolist() == [2, 2, 1]


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparency_and_palettes_make_no_difference(tmp_path, mode):
    image = Image.fromarray(PIXELS).convert(mode, palette=Image.Palette.ADAPTIVE)
    domain = folder(tmp_path, {"#804080": "road", "#4682b4": "sky", "#00008e": "car", "*": None}, image)
    assert ids_of(domain) == [[0, 0, 1], [2, 1, 255]]


def test_other_colours_are_named_with_their_share_and_the_nearest(tmp_path):
    domain = folder(tmp_path, {"#804080": "road", "#4682b4": "sky", "#00008e": "car"})
    with pytest.raises(DataError) as error:
        datasets.check({"source": domain})
    rule = 'a colour must be in the class file, or "*": null'
    told = f"{rule}. Received: #090909 (17 % of the pixels; the nearest is #00008e)."
    assert str(error.value) == f"{tmp_path / 'labels/a.png'}: {told}"


def test_ids_where_colours_are_listed_are_refused_and_the_other_way_round(tmp_path):
    domain = folder(tmp_path, {"#804080": "road"}, Image.fromarray(np.zeros((2, 3), np.uint8)))
    with pytest.raises(DataError, match="a label must hold colours, as its class file lists"):
        ids_of(domain)
    domain = folder(tmp_path, {"0": "road"})
    with pytest.raises(DataError, match="not colours, unless its class file lists colours"):
        ids_of(domain)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"#80408": "road"}, '#80408 must be "#rrggbb"'),
        ({"#804080": 3}, "the name of #804080 must be a string or null. Received: 3."),
        ({"road": [1, 2]}, r"Received: \[1, 2\]."),
        ({"road": [1, 2, 256]}, r"Received: \[1, 2, 256\]."),
        ({"road": [1, 2, True]}, r"Received: \[1, 2, true\]."),
        ({"road": []}, r"Received: \[\]."),
        ({"#804080": "road", "0": "sky"}, '0 must be "#rrggbb"'),
        ({"#804080": "road", "sky": [128, 64, 128]}, "#804080 must have one name. Received: road and sky."),
        ({"#804080": "road", "*": "sky"}, r'"\*" must be null. Received: "sky".'),
        ({"#804080": "tree"}, "some name must be one of classes"),
        ({f"#{n:06x}": "road" for n in range(254)}, "at most 253 colours. Received: 254."),
    ],
)
def test_class_file_of_colours_that_cannot_be_used_is_told(tmp_path, classes, message):
    with pytest.raises(DataError, match=message) as error:
        folder(tmp_path, classes)
    assert str(error.value).startswith(str(tmp_path / "classes.json"))


def test_a_colour_that_changes_its_meaning_is_checked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    classes = {"#804080": "road", "#4682b4": "sky", "#00008e": "car", "#090909": None}
    one, other = folder(tmp_path, classes), folder(tmp_path, {**classes, "#090909": "car"})
    assert datasets.check({"source": one})["source"].pixels[0, 2] == 1
    assert datasets.check({"source": other})["source"].pixels[0, 2] == 2
    assert one.meaning != other.meaning


def test_nearest_colour():
    table = labels.ColourTable([ROAD, SKY, CAR])
    assert [table.nearest(c) for c in ((130, 60, 120), (60, 140, 180), (0, 0, 0))] == [0, 1, 2]
