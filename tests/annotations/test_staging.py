"""What Datumaro would lose, or stumble over, of COCO, CVAT and Pascal VOC."""

import json

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import CAR, ROAD, counted, cvat_polygon, flat, label_of

# pycocotools with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]


@pytest.fixture
def source(tmp_path):
    pytest.importorskip("datumaro")
    return tmp_path / "source"


def coco(source, content):
    tool_files.photograph(source / "street.png")
    (source / "all.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "more", "error"),
    [
        (
            "images",
            {"id": 7, "file_name": "way.png"},
            "id 7 must stand for one file_name. Received: street.png and way",
        ),
        ("categories", {"id": 1, "name": "dog"}, "id 1 must stand for one name. Received: car and dog."),
        ("categories", {"id": 9, "name": None}, "name must be text. Received: null."),
        ("categories", {"id": 9}, "'name' is missing."),
        ("images", 3, "an entry with a file_name must be an object. Received: 3."),
    ],
)
def test_an_id_of_coco_stands_for_one_thing(key, more, error, source, convert, capsys):
    """As where two files were joined: labels would be of another photograph, or class."""
    content = tool_files.coco_content([("car", [SQUARE])])
    content[key].append(more)
    coco(source, content)
    assert convert() == 1
    (shown,) = capsys.readouterr().err.splitlines()
    assert shown.startswith(f"error: {source}/all.json: no COCO file: ")
    assert error in shown


def test_ids_of_coco_may_be_texts_in_one_place_and_numbers_in_another(source, convert, tmp_path):
    content = tool_files.coco_content([("car", [SQUARE])])
    content["annotations"][0] |= {"image_id": "7", "category_id": "1"}
    coco(source, content)
    assert convert() == 0
    assert "car" in label_of(tmp_path / "set")


@pytest.mark.parametrize(
    ("segmentation", "bbox", "area", "dropped"),
    [
        ([SQUARE, [0, 0, None, 1, 2, 2]], [1, 2, 3, 4], 100, {"shapes that cannot be read": 1}),
        ([SQUARE, [0, 0, float("nan"), 1, 2, 2]], [1, 2, 3, 4], 100, {"shapes that cannot be read": 1}),
        ([SQUARE, [], [1, 2, 3, 4]], [], 100, {"lines": 1}),
        ([SQUARE], [1, 2], 100, {}),
        ([SQUARE], "none", 100, {}),
        (SQUARE, [1, 2, 3, 4], 0, {"shapes that cannot be read": 1}),
        ("polygon", [1, 2, 3, 4], 0, {"shapes that cannot be read": 1}),
        ({}, [1, 2, 3, 4], 0, {"boxes": 1}),
        (None, [1, 2, 3, 4], 0, {"boxes": 1}),
        ([], [], 0, {"tags": 1}),
    ],
)
def test_a_bad_part_takes_no_more_of_an_object_with_it(
    segmentation, bbox, area, dropped, source, convert, tmp_path, capsys
):
    content = tool_files.coco_content([("road", [flat(ROAD)]), ("car", segmentation)])
    content["annotations"][1]["bbox"] = bbox
    coco(source, content)
    assert convert() == 0
    assert (label_of(tmp_path / "set") == "car").sum() == area
    assert counted(capsys.readouterr().out) == dropped


def test_a_class_of_coco_needs_a_name(source, convert, capsys):
    content = tool_files.coco_content([("road", [flat(ROAD)]), ("car", [SQUARE])])
    content["categories"][0]["name"] = " "
    coco(source, content)
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {"shapes without a class": 1}


MASK = 'source="manual" occluded="0" z_order="0" rle="0, 4" width="2" height="2"'
SKELETON = (
    '<skeleton {frame}label="car" source="manual" z_order="0">'
    '<points label="1" source="manual" outside="0" occluded="0" points="1.0,2.0"></points></skeleton>'
)


@pytest.mark.parametrize(("left", "top"), [(-5, 3), (-1, 3), (59, 3), (3, -5), (3, 39)])
def test_a_mask_of_cvat_outside_its_photograph_is_counted(left, top, source, convert, tmp_path, capsys):
    """Python would take rows and columns before the first for the last ones."""
    mask = f'<mask label="car" left="{left}" top="{top}" {MASK}></mask>'
    tool_files.cvat(source, cvat_polygon("road", ROAD) + mask)
    assert convert() == 0
    assert "car" not in label_of(tmp_path / "set")
    assert counted(capsys.readouterr().out) == {"shapes that cannot be read": 1}


def test_a_skeleton_of_cvat_is_one_object(source, convert, capsys):
    tool_files.cvat(source, cvat_polygon("car", CAR) + SKELETON.format(frame=""))
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {"skeletons": 1}


def test_a_track_of_cvat_may_hold_masks_and_skeletons(source, convert, tmp_path, capsys):
    """Datumaro looks for the photograph of a mask, and for the frame of a skeleton's points."""
    frame = 'frame="0" outside="0" occluded="0" keyframe="1" z_order="0"'
    polygon = f'<polygon {frame} points="1.0,1.0;9.0,1.0;9.0,5.0;1.0,5.0"></polygon>'
    mask = f'<mask {frame} rle="0, 4" left="1" top="1" width="2" height="2"></mask>'
    skeleton = SKELETON.format(frame='frame="0" ')
    tool_files.photograph(source / "frame_000000.png")
    (source / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><id>5</id>'
        "<labels><label><name>car</name><attributes></attributes></label></labels><original_size><width>60</width>"
        '<height>40</height></original_size></task></meta><track id="0" label="car" source="manual">'
        f"{polygon}{mask}{skeleton}</track></annotations>"
    )
    assert convert() == 0
    assert (label_of(tmp_path / "set", "frame_000000") == "car").sum() == 32
    assert counted(capsys.readouterr().out) == {"shapes that cannot be read": 1, "skeletons": 1}


@pytest.mark.parametrize("name", ["walk/street", "#1", " x y ", "x[1]"])
def test_masks_of_pascal_voc_have_any_names(name, source, convert, tmp_path):
    tool_files.voc(source)
    for folder, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
        (source / f"{folder}/{name}{suffix}").parent.mkdir(exist_ok=True)
        (source / f"{folder}/street{suffix}").rename(source / f"{folder}/{name}{suffix}")
    (source / "ImageSets/Segmentation/train.txt").write_text(f"{name}\n")
    assert convert() == 0
    found = label_of(tmp_path / "set", name.split("/")[-1])
    assert set(found.ravel()) == {"car", "road", "sign", None}


def test_masks_of_pascal_voc_may_be_links_and_need_no_lists(source, convert, tmp_path):
    """In the palette that it has by itself: 7 is its car, 255 what is to be ignored."""
    label = np.zeros((40, 60), np.uint8)
    label[:10], label[10:12] = 7, 255
    image = Image.fromarray(label, "P")
    image.putpalette([0] * 21 + [128, 128, 128] + [0] * 741 + [224, 224, 192])
    image.save(tmp_path / "mask.png")
    tool_files.photograph(source / "JPEGImages/street.jpg")
    (source / "SegmentationClass").mkdir()
    (source / "SegmentationClass/street.png").symlink_to(tmp_path / "mask.png")
    assert convert("--fill", "ground") == 0
    found = label_of(tmp_path / "set")
    assert [set(found[rows].ravel()) for rows in (slice(10), slice(10, 12), slice(12, 40))] == [
        {"car"},
        {None},
        {"ground"},
    ]
