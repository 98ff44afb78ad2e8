"""The XML of LabelMe's web tool: what real files hold besides plain polygons."""

import numpy as np
import pytest
import tool_files
from PIL import Image
from tool_files import counted, label_of

SIGN = "<pt><x>0</x><y>0</y></pt><pt><x>5</x><y>0</y></pt><pt><x>5</x><y>4</y></pt><pt><x>0</x><y>4</y></pt>"


@pytest.fixture
def source(tmp_path):
    pytest.importorskip("datumaro")  # brings the reader of XML
    return tmp_path / "source"


def change(source, old, new):
    (file,) = source.rglob("street.xml")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def add(source, *parts):
    objects = "".join(f"<object><deleted>0</deleted><id>1</id>{part}</object>" for part in parts)
    change(source, "<imagesize>", f"{objects}<imagesize>")


def test_objects_need_no_numbers_of_their_own(source, convert, tmp_path):
    tool_files.labelme_xml(source)
    change(source, "<id>1</id>", "<id>0</id>")
    change(source, "<id>2</id>", "")
    assert convert() == 0
    assert set(label_of(tmp_path / "set").ravel()) == {"car", "road", "sign", None}


def test_what_has_no_area_is_counted_and_what_is_deleted_is_not(source, convert, capsys):
    """The tool's own example holds a polygon of two points."""
    tool_files.labelme_xml(source)
    two = "<pt><x>784</x><y>571</y></pt><pt><x>866</x><y>601</y></pt>"
    add(
        source,
        f"<name>car</name><polygon>{two}</polygon>",
        f"<name>car</name><polygon>{two.partition('</pt>')[0]}</pt></polygon>",
        f"<name/><polygon>{SIGN}</polygon>",
        f"<name>car</name><type>bounding_box</type><polygon>{SIGN}</polygon>",
        "<name>car</name><polygon><pt><x>a</x><y>1</y></pt></polygon>",
        "<name>car</name><segm><mask>gone.png</mask></segm>",
    )
    change(source, "<imagesize>", f"<object><deleted>1</deleted><polygon>{SIGN}</polygon></object><imagesize>")
    assert convert() == 0
    assert counted(capsys.readouterr().out) == {
        "boxes": 1,
        "lines": 1,
        "points": 1,
        "shapes that cannot be read": 2,
        "shapes without a class": 1,
    }


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
@pytest.mark.parametrize("inner", ["", "inner/one"])
def test_masks_of_any_packing_are_taken_from_beside_the_annotations(mode, inner, source, convert, tmp_path):
    tool_files.labelme_xml(source / inner)
    mask = np.zeros((40, 60), np.uint8)
    mask[2:5, 3:9] = 255
    (source / inner / "Masks/walk").mkdir(parents=True)
    Image.fromarray(mask).convert(mode).save(source / inner / "Masks/walk/street_mask_3.png")
    add(source, "<name>sign</name><segm><username>me</username><mask>street_mask_3.png</mask></segm>")
    change(source, "<name>road</name><deleted>0", "<name>road</name><deleted>1")
    assert convert() == 0
    assert (label_of(tmp_path / "set")[2:5, 3:9] == "sign").all()
    assert "road" not in label_of(tmp_path / "set")


def test_texts_may_have_lines_of_their_own(source, convert, tmp_path):
    tool_files.labelme_xml(source)
    change(source, "<filename>street.png</filename>", "<filename>\nstreet.png\n</filename>")
    change(source, "<name>car</name>", "<name>\ncar\n</name>")
    assert convert() == 0
    assert "car" in label_of(tmp_path / "set")


def test_other_xml_beside_the_photographs_is_left_alone(source, convert, tmp_path):
    tool_files.labelme_xml(source)
    (source / "Images/walk/street.png.aux.xml").write_text("<PAMDataset></PAMDataset>")
    assert convert() == 0
    assert (tmp_path / "set/labels/street.png").exists()


def test_a_file_without_the_name_of_its_photograph_is_named(source, convert, capsys):
    tool_files.labelme_xml(source)
    change(source, "<filename>street.png</filename>", "")
    assert convert() == 1
    assert capsys.readouterr().err == (
        f"error: {source}/Annotations/walk/street.xml: must hold the filename of a photograph, as LabelMe's web tool "
        "writes it.\n"
    )
