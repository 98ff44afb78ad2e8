"""Each tool's files, in the exact form in which it writes them."""

import json

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import CAR, FINE, ROAD, SHAPES, SIGN, SIZE, counted, label_of

from ass_tf.config import schema
from ass_tf.datasets import open_domain

# pycocotools with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

BY_AREA = [("road", ROAD), ("sign", SIGN), ("car", CAR)]  # the smallest last, above the others
BY_TITLE = {
    "labelme": "LabelMe, JSON",
    "labelme_xml": "LabelMe, XML of its web tool",
    "coco": "COCO",
    "label_studio": "COCO",
    "cvat": "CVAT, XML",
    "voc": "Pascal VOC",
    "datumaro": "Datumaro",
}


@pytest.mark.parametrize("tool", BY_TITLE)
def test_files_become_labels_that_pillow_draws_alike(tool, convert, tmp_path, capsys):
    """Pixels whose centre is within a fifth of a pixel of an outline are left out: under 3 % of them."""
    if tool != "labelme":
        pytest.importorskip("datumaro")
    source = tmp_path / "source"
    source.mkdir()
    getattr(tool_files, tool)(source)
    assert convert() == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{source}: {BY_TITLE[tool]}, 1 annotated photographs"
    expected, clear = tool_files.drawn(BY_AREA)
    assert clear.mean() > 0.97
    found = label_of(tmp_path / "set")
    assert (found == expected)[clear].all()
    assert {"car", "road", "sign", None} == set(found.ravel())

    # As training reads it.
    section = schema.Domain(dataset="folder", root=str(tmp_path / "set"), size=SIZE)
    (pair,) = open_domain(("road", "car", "sign"), section).pairs
    copied = next((tmp_path / "set/images").iterdir())
    (original,) = (path for path in source.rglob(copied.name) if path.parent.name != "SegmentationClass")
    assert pair.image == copied
    assert copied.read_bytes() == original.read_bytes()


def coco_file(tmp_path, content):
    tool_files.photograph(tmp_path / "source/street.png")
    (tmp_path / "source/some.json").write_text(json.dumps(content))
    return tmp_path / "source"


def runs(mask):
    """Lengths of the runs of 0 and 1 in turn, which COCO counts down the columns and CVAT along the rows."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel(), [0]]).astype(int)))
    return np.diff(np.concatenate([[0], bounds, [mask.size]])).tolist()


def blob():
    return tool_files.drawn([("car", CAR)])[0] == "car"


@pytest.mark.parametrize("packed", [False, True], ids=["counts", "string"])
def test_coco_masks_in_run_lengths_are_taken_pixel_by_pixel(packed, convert, tmp_path):
    pytest.importorskip("datumaro")
    rle = {"size": list(SIZE), "counts": runs(blob().T)}
    if packed:
        from pycocotools import mask

        rle = mask.frPyObjects(rle, *SIZE)
        rle["counts"] = rle["counts"].decode()
    coco_file(tmp_path, tool_files.coco_content([("car", rle)]))
    assert convert() == 0
    assert ((label_of(tmp_path / "set") == "car") == blob()).all()


def test_parts_of_a_coco_object_count_as_one_area(convert, tmp_path):
    """A car of two halves lies below the sign, which is smaller than the car and larger than each half."""
    pytest.importorskip("datumaro")
    halves = [[0, 0, 10, 0, 10, 10, 0, 10], [30, 0, 40, 0, 40, 10, 30, 10]]  # 100 pixels each
    sign = [0, 0, 15, 0, 15, 10, 0, 10]  # 150
    coco_file(tmp_path, tool_files.coco_content([("sign", [sign]), ("car", halves)]))
    assert convert() == 0
    label = label_of(tmp_path / "set")
    assert [(label == name).sum() for name in ("sign", "car")] == [150, 100]


def test_what_a_coco_file_holds_besides_areas_is_counted(convert, tmp_path, capsys):
    pytest.importorskip("datumaro")
    wrong = {"size": [60, 40], "counts": runs(np.zeros((60, 40)))}
    short = {"size": list(SIZE), "counts": [5, 5]}
    shapes = [("road", [tool_files.flat(ROAD)]), ("car", []), ("car", wrong), ("sign", short), ("sign", [[1, 2, 3, 4]])]
    shapes += [("sign", {"size": list(SIZE), "counts": "552"})]  # the same, packed
    content = tool_files.coco_content(shapes)
    content["annotations"] += [
        {"id": 90, "image_id": 8, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "bbox": [], "iscrowd": 0},
        {"id": 91, "image_id": 7, "category_id": 9, "segmentation": [[1, 1, 9, 1, 9, 9]], "bbox": [], "iscrowd": 0},
    ]
    content["images"].append({"id": 9, "width": 60, "height": 40, "file_name": "elsewhere.png"})
    coco_file(tmp_path, content)
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {
        "annotations of a photograph that is not listed": 1,
        "annotations whose photograph is missing: elsewhere.png": 1,
        "boxes": 1,
        "lines": 1,
        "masks of another size than their photograph": 1,
        "shapes that cannot be read": 2,
        "shapes without a class": 1,
    }


def test_the_first_class_of_label_studio_is_none_that_datumaro_leaves_out(convert, tmp_path):
    """Its categories begin with 0, which Datumaro takes for no class."""
    pytest.importorskip("datumaro")
    tool_files.label_studio(tmp_path / "source")
    assert convert() == 0
    assert "car" in label_of(tmp_path / "set")


def test_a_lying_photograph_from_label_studio_gets_its_label_upright(convert, tmp_path):
    """Its export takes per cent of the upright photograph for such of the one that is stored lying (issue 6608)."""
    pytest.importorskip("datumaro")
    exif = Image.Exif()
    exif[0x0112] = 6
    tool_files.photograph(tmp_path / "source/images/turned.jpg", (40, 60), exif=exif)  # upright 60 x 40
    # The upper third, drawn upright as (0, 0), (40, 0), (40, 20), (0, 20), as version 2.1 of the SDK exports it.
    polygon = [0.0, 0.0, 60.0, 0.0, 60.0, 13.333333333333336, 0.0, 13.333333333333336]
    content = tool_files.coco_content([("sky", [polygon])], "images/turned.jpg", ("sky",), first=0)
    content["info"]["contributor"] = "Label Studio"
    (tmp_path / "source/result.json").write_text(json.dumps(content))
    assert convert() == 0
    label = label_of(tmp_path / "set", "turned")
    assert label.shape == (60, 40)
    assert (label[:20] == "sky").all()
    assert (label[20:] == None).all()  # noqa: E711


def test_label_studios_own_json_is_refused_with_the_way_out(convert, tmp_path, capsys):
    (tmp_path / "source").mkdir()
    task = {"id": 1, "data": {"image": "/data/upload/1/street.png"}, "annotations": [{"result": []}], "predictions": []}
    (tmp_path / "source/tasks.json").write_text(json.dumps([task]))
    assert convert() == 1
    error = capsys.readouterr().err
    assert error == (
        f'error: {tmp_path}/source/tasks.json: Label Studio must export polygons as "COCO", brush masks as "Brush '
        'labels to COCO". Received: its own JSON.\n'
    )


@pytest.mark.parametrize(
    ("tool", "file"), [("cvat", "annotations.xml"), ("labelme_xml", "Annotations/walk/street.xml")]
)
def test_damaged_xml_is_named(tool, file, convert, tmp_path, capsys):
    pytest.importorskip("datumaro")
    getattr(tool_files, tool)(tmp_path / "source")
    text = (tmp_path / "source" / file).read_text()
    (tmp_path / "source" / file).write_text(text[: len(text) // 2])
    assert convert("--format", tool.replace("_", "-")) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/source/{file}: no valid XML: ")
    assert convert() == 1
    assert str(tmp_path / "source" / file) in capsys.readouterr().err


def test_the_layers_of_cvat_decide_before_the_areas(convert, tmp_path):
    pytest.importorskip("datumaro")
    layers = "".join(tool_files.cvat_polygon(name, points, layer) for (name, points), layer in zip(SHAPES, (0, 2, 1)))
    tool_files.cvat(tmp_path / "source", layers)
    assert convert() == 0
    expected, clear = tool_files.drawn([SHAPES[0], SHAPES[2], SHAPES[1]])
    assert (label_of(tmp_path / "set") == expected)[clear].all()


def test_masks_of_cvat_are_taken_pixel_by_pixel_and_other_shapes_counted(convert, tmp_path, capsys):
    pytest.importorskip("datumaro")
    rows, columns = (
        slice(np.flatnonzero(side)[0], np.flatnonzero(side)[-1] + 1) for side in (blob().any(1), blob().any(0))
    )
    part = blob()[rows, columns]
    counts = ", ".join(map(str, runs(part)))
    place = f'left="{columns.start}" top="{rows.start}" width="{part.shape[1]}" height="{part.shape[0]}"'
    common = 'source="manual" occluded="0" z_order="0"'
    shapes = (
        f'<mask label="car" {common} rle="{counts}" {place}></mask>'
        f'<mask label="sign" {common} rle="1, 2" {place}></mask>'
        f'<box label="sign" {common} xtl="1.0" ytl="2.0" xbr="9.0" ybr="8.0"></box>'
        f'<polyline label="road" {common} points="1.0,1.0;9.0,9.0"></polyline>'
        f'<points label="sign" {common} points="5.0,5.0"></points>'
        f'<cuboid label="sign" {common} xtl1="5.0" ytl1="5.0" xbl1="2.0" ybl1="3.0"></cuboid>'
        '<tag label="road" source="manual"></tag>'
    )
    tool_files.cvat(tmp_path / "source", shapes, part="job")
    assert convert() == 0
    assert ((label_of(tmp_path / "set") == "car") == blob()).all()
    assert counted(capsys.readouterr().out) == {
        "boxes": 1,
        "cuboids": 1,
        "lines": 1,
        "points": 1,
        "shapes that cannot be read": 1,
        "tags": 1,
    }


def test_ellipses_of_cvat_turn_clockwise(convert, tmp_path):
    """20 x 4 pixels around (30, 20), turned by 45 degrees: from the upper left to the lower right."""
    pytest.importorskip("datumaro")
    place = 'source="manual" occluded="0" cx="30.00" cy="20.00" rx="20.00" ry="4.00" rotation="45.00" z_order="0"'
    tool_files.cvat(tmp_path / "source", f'<ellipse label="sign" {place}></ellipse>')
    assert convert() == 0
    found = label_of(tmp_path / "set") == "sign"
    assert found.sum() == pytest.approx(np.pi * 20 * 4, rel=0.03)
    assert found[8:32, 18:42].diagonal().all()
    assert not found[8:16, 34:42].any()


TRACK = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>5</id><size>2</size><mode>interpolation</mode>
<labels><label><name>car</name><attributes></attributes></label></labels>
<original_size><width>60</width><height>40</height></original_size></task></meta>
<track id="0" label="car" source="manual">
<polygon frame="0" outside="0" occluded="0" keyframe="1" points="1.0,1.0;9.0,1.0;9.0,5.0;1.0,5.0" z_order="0"></polygon>
<polygon frame="1" outside="1" occluded="0" keyframe="1" points="1.0,1.0;9.0,1.0;9.0,5.0;1.0,5.0" z_order="0"></polygon>
</track></annotations>
"""


def test_a_track_of_cvat_shows_where_it_is_in_the_frame(convert, tmp_path, capsys):
    pytest.importorskip("datumaro")
    for n in range(2):
        tool_files.photograph(tmp_path / f"source/frame_{n:06d}.png")
    (tmp_path / "source/annotations.xml").write_text(TRACK)
    assert convert() == 0
    assert (label_of(tmp_path / "set", "frame_000000") == "car").sum() == 32
    assert not (tmp_path / "set/labels/frame_000001.png").exists()
    assert counted(capsys.readouterr().out) == {"shapes that a track has out of the frame": 1}


def test_photographs_of_cvat_may_lie_elsewhere(convert, tmp_path):
    pytest.importorskip("datumaro")
    tool_files.cvat(tmp_path / "source")
    (tmp_path / "source/images").rename(tmp_path / "shots")
    assert convert() == 1
    assert convert("--images", tmp_path / "shots", source="source/annotations.xml") == 0
    assert (tmp_path / "set/labels/street.png").exists()


def test_background_of_pascal_voc_is_no_class_and_ignored_pixels_stay_so(convert, tmp_path):
    pytest.importorskip("datumaro")
    names = np.full(SIZE, None, object)
    names[:10], names[10:20] = "car", "ignored"
    colours = {**tool_files.VOC, "ignored": (224, 224, 192)}
    tool_files.voc(tmp_path / "source", names, colours)
    assert convert("--fill", "ground") == 0
    label = label_of(tmp_path / "set")
    assert [set(label[rows].ravel()) for rows in (slice(0, 10), slice(10, 20), slice(20, 40))] == [
        {"car"},
        {None},
        {"ground"},
    ]


def test_boxes_of_pascal_voc_make_no_labels(convert, tmp_path, capsys):
    tool_files.photograph(tmp_path / "source/JPEGImages/street.jpg")
    box = "<bndbox><xmin>8</xmin><ymin>12</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
    head = "<folder>VOC2012</folder><filename>street.jpg</filename>"
    size = "<size><width>60</width><height>40</height><depth>3</depth></size>"
    (tmp_path / "source/Annotations").mkdir()
    (tmp_path / "source/Annotations/street.xml").write_text(
        f"<annotation>{head}{size}<segmented>0</segmented><object><name>car</name>{box}</object></annotation>"
    )
    (tmp_path / "source/ImageSets/Main").mkdir(parents=True)
    (tmp_path / "source/ImageSets/Main/train.txt").write_text("street\n")
    assert convert() == 1
    error = "Pascal VOC must hold masks in SegmentationClass. Received: boxes, which have no outline to paint."
    assert capsys.readouterr().err == f"error: {tmp_path}/source/Annotations/street.xml: {error}\n"


def test_a_colour_that_pascal_vocs_label_map_lacks_is_named(convert, tmp_path, capsys):
    pytest.importorskip("datumaro")
    tool_files.voc(tmp_path / "source")
    (tmp_path / "source/labelmap.txt").write_text("background:0,0,0::\nroad:128,64,128::\n")
    assert convert() == 1
    assert capsys.readouterr().err.endswith("Datumaro cannot read it: Undeclared color (0, 0, 142).\n")


def test_fine_grid_of_the_reference_meets_the_centres():
    """A square of 2 x 2 pixels."""
    names, _ = tool_files.drawn([("a", [(1, 1), (3, 1), (3, 3), (1, 3)])], (4, 4))
    assert FINE % 2 == 0
    assert (names == "a").sum() == 4
