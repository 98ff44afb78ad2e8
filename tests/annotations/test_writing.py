"""From annotations to the folder: photographs found, turned, copied and counted, whatever the tool."""

import base64
import json
import shutil
import time
from pathlib import Path

import pytest
import tool_files
from PIL import Image
from tool_files import CAR, ROAD, counted, label_of, labelme_shape

from ass_tf.annotations.writing import set_aside


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_turned_photograph_is_annotated_upright(orientation, convert, tmp_path):
    """LabelMe turns photographs by their EXIF data, and its sizes are of the upright ones."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = (40, 60) if orientation == 3 else (60, 40)
    tool_files.labelme(tmp_path / "source", shapes=[labelme_shape("sky", [(0, 0), (99, 0), (99, 20), (0, 20)])])
    content = json.loads((tmp_path / "source/street.json").read_text())
    content |= {"imageHeight": upright[0], "imageWidth": upright[1]}
    (tmp_path / "source/street.json").write_text(json.dumps(content))
    tool_files.photograph(tmp_path / "source/street.png", (40, 60), exif=exif)
    assert convert() == 0
    found = label_of(tmp_path / "set")
    assert found.shape == upright
    assert (found[:20] == "sky").all()
    assert (found == "sky").sum() == 20 * upright[1]


def test_what_was_annotated_lying_is_turned_with_its_photograph(convert, tmp_path):
    """Orientation 6: the left side of the stored picture is the upper one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    tool_files.labelme(tmp_path / "source", shapes=[labelme_shape("sky", [(0, 0), (20, 0), (20, 40), (0, 40)])])
    tool_files.photograph(tmp_path / "source/street.png", (40, 60), exif=exif)
    assert convert() == 0
    found = label_of(tmp_path / "set")
    assert found.shape == (60, 40)
    assert (found[:20] == "sky").all()
    assert (found == "sky").sum() == 800


def test_a_tiff_is_turned_by_its_exif_data_too(convert, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    size = {"imageHeight": 60, "imageWidth": 40}
    shapes = [labelme_shape("sky", [(0, 0), (99, 0), (99, 20), (0, 20)])]
    tool_files.labelme(tmp_path / "source", shapes=shapes, imagePath="street.tif", **size)
    tool_files.photograph(tmp_path / "source/street.tif", (40, 60), exif=exif)
    (tmp_path / "source/street.png").unlink()
    assert convert() == 0
    found = label_of(tmp_path / "set")
    assert found.shape == (60, 40)
    assert (found[:20] == "sky").all()


def test_annotations_of_another_shape_are_dropped_and_of_another_scale_kept(convert, tmp_path, capsys):
    shapes = [labelme_shape("car", [(1, 1), (9, 1), (9, 9)])]
    for name, size in (("small", (20, 30)), ("wide", (20, 60))):
        tool_files.labelme(tmp_path / "source", name, shapes, imageHeight=size[0], imageWidth=size[1])
    assert convert() == 0
    assert label_of(tmp_path / "set", "small").shape == (20, 30)  # training scales a label to its photograph
    assert counted(capsys.readouterr().out) == {"annotations made for another shape of their photograph: wide": 1}


def test_photographs_without_annotations_are_copied_and_have_no_label(convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source")
    tool_files.labelme(tmp_path / "source", "empty", shapes=[])
    tool_files.photograph(tmp_path / "source/later/more.jpg")
    assert convert() == 0
    assert sorted(path.relative_to(tmp_path / "set").as_posix() for path in (tmp_path / "set").rglob("*.*")) == [
        "classes.json",
        "images/empty.png",
        "images/later/more.jpg",
        "images/street.png",
        "labelled.txt",
        "labels/street.png",
    ]
    assert (tmp_path / "set/labelled.txt").read_text() == "street\n"
    assert "set: 3 photographs, 1 with a label, 0 of these to validate on" in capsys.readouterr().out
    copied = tmp_path / "set/images/street.png"
    assert not copied.is_symlink()
    assert copied.stat().st_nlink == 1


@pytest.mark.parametrize("stated", ["..\\photos\\street.png", "../photos/street.png"])
def test_a_photograph_is_found_where_the_file_says(stated, convert, tmp_path):
    tool_files.labelme(tmp_path / "source", imagePath=stated)
    (tmp_path / "photos").mkdir()
    shutil.move(tmp_path / "source/street.png", tmp_path / "photos/street.png")
    assert convert() == 0
    assert (tmp_path / "set/images/street.png").exists()


def test_a_photograph_is_found_by_name_below_another_folder(convert, tmp_path, capsys):
    """Of two of one name the one whose folder is that of the JSON."""
    for day in ("monday", "tuesday"):
        tool_files.labelme(tmp_path / "source" / day, imagePath="C:\\old\\street.png")
        (tmp_path / "photos" / day).mkdir(parents=True)
        shutil.move(tmp_path / "source" / day / "street.png", tmp_path / "photos" / day / "STREET.PNG")
    assert convert() == 1
    assert (
        capsys.readouterr().err == f"error: {tmp_path}/source: holds no photographs; --images must name their folder.\n"
    )
    assert convert("--images", tmp_path / "photos") == 1
    assert "exactly one photograph must fit" in capsys.readouterr().err
    for day in ("monday", "tuesday"):
        file = tmp_path / "source" / day / "street.json"
        file.write_text(file.read_text().replace("C:\\\\old\\\\", ""))
    assert convert("--images", tmp_path / "photos") == 0
    assert sorted(path.name for path in (tmp_path / "set/labels").iterdir()) == ["monday", "tuesday"]


def test_a_photograph_that_only_the_file_holds_is_unpacked(convert, tmp_path):
    tool_files.labelme(tmp_path / "source")
    photograph = tmp_path / "source/street.png"
    content = json.loads((tmp_path / "source/street.json").read_text())
    content |= {"imageData": base64.b64encode(photograph.read_bytes()).decode(), "imagePath": "/gone/street.bmp"}
    (tmp_path / "source/street.json").write_text(json.dumps(content))
    before = photograph.read_bytes()
    photograph.unlink()
    assert convert() == 0
    assert (tmp_path / "set/images/street.png").read_bytes() == before
    assert (tmp_path / "set/labels/street.png").exists()


def test_annotations_of_missing_and_broken_photographs_are_named(convert, tmp_path, capsys):
    for name in ("good", "gone", "broken"):
        tool_files.labelme(tmp_path / "source", name)
    (tmp_path / "source/gone.png").unlink()
    (tmp_path / "source/broken.png").write_bytes(b"no image")
    (tmp_path / "source/again.json").write_text((tmp_path / "source/good.json").read_text())
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {
        "annotations whose photograph is missing: gone.png": 1,
        "further annotations of a photograph that has some: good.png": 1,
        "photographs that cannot be read: broken": 1,
    }


def test_odd_names_stay_as_they_are(convert, tmp_path, capsys):
    name = "x[1] *ä? 雨"
    shapes = [
        labelme_shape("Traffic_Light", CAR),
        labelme_shape("road", ROAD),
        labelme_shape("雨", [(0, 0), (9, 0), (9, 9)]),
    ]
    shapes += [labelme_shape("ROAD ", [(50, 0), (59, 0), (59, 9)])]
    tool_files.labelme(tmp_path / "source", name, shapes)
    assert convert() == 0
    assert set(label_of(tmp_path / "set", name).ravel()) == {"Traffic_Light", "road", "雨", "ROAD ", None}
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")] == [
        "note: ROAD : Cityscapes spells this class road.",
        "note: Traffic_Light: Cityscapes spells this class traffic light.",
        "note: road and ROAD  are two classes.",
    ]


def test_uncovered_pixels_may_be_a_class(convert, tmp_path):
    tool_files.labelme(tmp_path / "source")
    assert convert("--fill", "ground") == 0
    assert set(label_of(tmp_path / "set").ravel()) == {"car", "road", "sign", "ground"}


def test_the_later_shape_may_lie_above(convert, tmp_path):
    tool_files.labelme(tmp_path / "source")
    assert convert("--above", "later") == 0
    expected, clear = tool_files.drawn(tool_files.SHAPES)
    assert (label_of(tmp_path / "set") == expected)[clear].all()


def test_photographs_to_validate_on_are_spread_and_not_learnt_from(convert, tmp_path):
    for n in range(7):
        tool_files.labelme(tmp_path / "source", f"p{n}")
    assert convert("--validation", "2") == 0
    assert (tmp_path / "set/validation.txt").read_text().split() == ["p1", "p5"]
    assert (tmp_path / "set/labelled.txt").read_text().split() == ["p0", "p2", "p3", "p4", "p6"]


def test_what_cannot_be_used_is_refused_in_one_line(convert, tmp_path, capsys):
    def error():
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
        return line.removeprefix(f"error: {tmp_path}/")

    assert convert(source="nowhere") == 1
    assert error() == "nowhere: no such file or folder."
    tool_files.photograph(tmp_path / "source/street.png")
    known = "labelme, labelme-xml, coco, cvat, voc, datumaro"
    assert convert() == 1
    assert error() == f"source: holds no file of a known format; known are {known}."
    tool_files.labelme(tmp_path / "source")
    assert convert("--format", "coco") == 1
    other = f" ({tmp_path}/source/street.json is none)"
    assert error() == f"source: holds no file of the format coco{other}; known are {known}."
    assert convert("--format", "cvat") == 1
    assert error() == f"source: holds no file of the format cvat{other}; known are {known}."
    (tmp_path / "source.zip").write_bytes(b"PK")
    assert convert(source="source.zip") == 1
    assert error() == "source.zip: SOURCE must be a folder, a .json or an .xml file; unpack an archive first."
    assert convert("--validation", "1") == 1
    assert error().endswith("--validation must be less than 1, the photographs with a label. Received: 1.")
    (tmp_path / "source/all.json").write_text(json.dumps(tool_files.coco_content([])))
    assert convert() == 1
    assert error() == (
        f"source: --format must say which of several formats is meant. Received: coco ({tmp_path}/source/all.json) "
        f"and labelme ({tmp_path}/source/street.json)."
    )
    tool_files.photograph(tmp_path / "source/street.jpg")
    assert convert("--format", "labelme") == 1
    assert error() == f"source/street.png: {tmp_path}/source/street.jpg has the same name."
    (tmp_path / "source/street.jpg").unlink()
    assert convert("--format", "labelme") == 0
    assert convert("--format", "labelme") == 1
    assert error().endswith("set: --out must name a new folder. Received: one that is there.")


def test_setting_aside_takes_no_longer_where_there_are_many():
    names = [f"{n:06}" for n in range(60_000)]
    begin = time.monotonic()
    learnt, aside = set_aside(names, 20_000, Path("source"))
    assert time.monotonic() - begin < 2
    assert sorted([*learnt, *aside]) == names
    assert learnt[:4] == ["000000", "000002", "000003", "000005"]


def test_a_class_whose_name_is_no_text_is_shown(convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source", shapes=[labelme_shape("car \ud83d", CAR)])
    assert convert() == 1
    error = f"error: {tmp_path}/source: names of classes must be UTF-8. Received: car \\ud83d.\n"
    assert capsys.readouterr().err.endswith(error)
    assert not (tmp_path / "set").exists()


def test_names_of_signs_are_not_taken_for_spellings_of_each_other(convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source", shapes=[labelme_shape("+", CAR), labelme_shape("-", ROAD)])
    assert convert() == 0
    assert "note: " not in capsys.readouterr().out


def test_too_many_classes_are_refused(convert, tmp_path, capsys):
    shapes = [labelme_shape(f"class {n}", [(n % 60, 0), (n % 60 + 1, 0), (n % 60 + 1, 9)]) for n in range(256)]
    tool_files.labelme(tmp_path / "source", shapes=shapes)
    assert convert() == 1
    assert "must have at most 255 classes. Received: 256." in capsys.readouterr().err
