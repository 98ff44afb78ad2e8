"""LabelMe's JSON files, and all that does not depend on the tool, for which LabelMe's are the plainest example."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import ROAD, counted, label_of, labelme_shape

ROOT = Path(__file__).parents[2]


def png(mask):
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_rectangles_circles_and_masks_are_areas_and_lines_and_points_are_counted(convert, tmp_path, capsys):
    mask = np.array([[True, False, True], [True, True, True]])
    shapes = [
        labelme_shape("bus", [(9, 8), (3, 2)], "rectangle"),
        labelme_shape("sign", [(30, 20), (30, 14)], "circle"),
        labelme_shape("dog", [(57, 38), (59, 39)], "mask", mask=png(mask)),
        labelme_shape("hut", [(40, 0), (50, 0), (50, 5), (40, 5)], "oriented_rectangle"),
        labelme_shape("edge", [(1, 1), (9, 9)], "line"),
        labelme_shape("edge", [(1, 1), (9, 9), (3, 3)], "linestrip"),
        labelme_shape("spot", [(1, 1)], "point"),
        labelme_shape("spot", [(1, 1), (2, 2)], "points"),
        labelme_shape("cut", [(1, 1), (2, 2)]),
        labelme_shape("cube", [(1, 1), (2, 2)], "cuboid"),
        labelme_shape(" ", ROAD),
    ]
    tool_files.labelme(tmp_path / "source", shapes=shapes)
    assert convert() == 0
    found = label_of(tmp_path / "set")
    assert (found[2:8, 3:9] == "bus").all()
    assert (found == "bus").sum() == 36
    assert (found == "sign").sum() == pytest.approx(np.pi * 36, rel=0.03)
    assert (found[38:, 57:] == np.where(mask, "dog", None)).all()
    assert (found == "hut").sum() == 50
    out = capsys.readouterr().out
    assert counted(out, "painted") == {"circles": 1, "masks": 1, "oriented rectangles": 1, "rectangles": 1}
    assert counted(out) == {"lines": 3, "points": 2, "shapes of the kind cuboid": 1, "shapes without a class": 1}


def test_a_mask_that_leaves_the_photograph_is_cut(convert, tmp_path):
    mask = np.ones((6, 6), bool)
    shapes = [labelme_shape("a", [(x, y), (x + 5, y + 5)], "mask", mask=png(mask)) for x, y in ((-2, -3), (57, 38))]
    tool_files.labelme(tmp_path / "source", shapes=shapes)
    assert convert() == 0
    found = label_of(tmp_path / "set") == "a"
    assert found[:3, :4].all()
    assert found[38:, 57:].all()
    assert found.sum() == 3 * 4 + 2 * 3


@pytest.mark.parametrize("kind", ["GIF", "PPM"])
def test_a_mask_is_a_png_and_nothing_else(kind, convert, tmp_path, capsys):
    """Pillow hands some forms to other programs."""
    stream = io.BytesIO()
    Image.new("L", (3, 2), 255).save(stream, kind)
    mask = base64.b64encode(stream.getvalue()).decode()
    shapes = [labelme_shape("road", ROAD), labelme_shape("dog", [(1, 1), (3, 2)], "mask", mask=mask)]
    tool_files.labelme(tmp_path / "source", shapes=shapes)
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {"shapes that cannot be read": 1}


@pytest.mark.parametrize(("height", "width"), [(10**400, 10**400), (40 * 10**5, 60 * 10**5)])
def test_a_size_that_nothing_can_have_is_another_shape(height, width, convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source")
    tool_files.labelme(tmp_path / "source", "huge", imageHeight=height, imageWidth=width)
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {"annotations made for another shape of their photograph: huge": 1}


def test_files_of_the_first_versions_have_polygons_only(convert, tmp_path):
    tool_files.labelme(
        tmp_path / "source", shapes=[{"label": "car", "line_color": None, "points": [[0, 0], [9, 0], [0, 9]]}]
    )
    content = json.loads((tmp_path / "source/street.json").read_text())
    for key in ("version", "imageHeight", "imageWidth"):
        del content[key]
    (tmp_path / "source/street.json").write_text(json.dumps(content))
    assert convert() == 0
    assert "car" in label_of(tmp_path / "set")


def test_a_polygon_beyond_the_photograph_is_clipped(convert, tmp_path):
    shapes = [
        labelme_shape("car", [(-20, -5), (10, -5), (10, 8), (-20, 8)]),
        labelme_shape("car", [(99, 9), (80, 9), (80, 20)]),
    ]
    tool_files.labelme(tmp_path / "source", shapes=shapes)
    assert convert() == 0
    found = label_of(tmp_path / "set") == "car"
    assert found[:8, :10].all()
    assert found.sum() == 80


def damaged(**changes):
    return json.dumps({**tool_files.LABELME, "imagePath": "street.png", "shapes": [], **changes})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "/street.json: no valid JSON: "),
        (damaged(imagePath=3), "/street.json: must hold shapes and the imagePath of a photograph, as LabelMe writes"),
        (damaged(shapes=[3]), "/street.json: shapes[0]: a shape must be an object. Received: 3."),
        (damaged(shapes=[{"points": []}]), "/street.json: shapes[0]: 'label' is missing."),
        (damaged(shapes=[labelme_shape("a", [(1, 2, 3)])]), "shapes[0]: a point must be [x, y]. Received: [1, 2, 3]."),
        (damaged(shapes=[labelme_shape("a", [(1, 2), (3, float("nan"))])]), "shapes[0]: a coordinate must be a number"),
        (damaged(shapes=[labelme_shape("a", [(1, 2), (3, 10**400)])]), "shapes[0]: a coordinate must be a number"),
        (damaged(shapes=[labelme_shape("a", [(1, 2), (3, 4)], "mask")]), "shapes[0]: a mask must be a PNG in base 64."),
        (damaged(), "some photograph must have a shape with an area. Received: none."),
    ],
)  # fmt: skip
def test_a_file_that_is_not_labelmes_is_named(text, error, convert, tmp_path, capsys):
    tool_files.photograph(tmp_path / "source/street.png")
    (tmp_path / "source/street.json").write_text(text)
    assert convert() == 1
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith("error: ")
    assert error in shown
    assert not (tmp_path / "set").exists()


CODE = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "datumaro" else real(name, *rest)
from ass_tf.annotations.__main__ import main
status = [main([source, "--out", source + "-set"]) for source in sys.argv[1:]]
print(status, [name for name in ("tensorflow", "keras", "datumaro") if name in sys.modules])
"""


def test_labelme_needs_neither_datumaro_nor_tensorflow_and_others_say_what_to_install(tmp_path):
    tool_files.labelme(tmp_path / "labelme")
    (tmp_path / "labelme/street.png.aux.xml").write_text("<PAMDataset></PAMDataset>")  # as QGIS writes it
    tool_files.coco(tmp_path / "coco")
    words = [sys.executable, "-c", CODE, str(tmp_path / "labelme"), str(tmp_path / "coco")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[0, 1] []"
    assert done.stderr.splitlines()[-1] == 'error: these annotations need Datumaro: pip install "ass_tf[labels]".'
