"""Which files of a folder are read, wherever they lie and whatever lies beside them."""

import json
import shutil

import pytest
import tool_files
from tool_files import labelme_shape


@pytest.mark.parametrize("where", ["x[1] *ä?", "a/b/c"])
@pytest.mark.parametrize("tool", ["labelme", "labelme_xml", "coco", "label_studio", "cvat", "voc", "datumaro"])
def test_folders_may_have_any_name_and_files_lie_at_any_depth(tool, where, convert, tmp_path):
    if tool != "labelme":
        pytest.importorskip("datumaro")
    folder = tmp_path / "source" / where
    folder.mkdir(parents=True)
    getattr(tool_files, tool)(folder)
    for source in ("source", f"source/{where}"):
        assert convert(source=source) == 0
        assert (tmp_path / "set/labels/street.png").exists()
        shutil.rmtree(tmp_path / "set")


@pytest.mark.parametrize("tool", ["labelme", "labelme_xml", "coco", "cvat", "voc", "datumaro"])
def test_two_exports_with_the_same_names_in_one_folder_are_both_read(tool, convert, tmp_path):
    if tool != "labelme":
        pytest.importorskip("datumaro")
    for part in ("monday", "tuesday"):
        (tmp_path / "source" / part).mkdir(parents=True)
        getattr(tool_files, tool)(tmp_path / "source" / part)
    assert convert() == 0
    names = [path.relative_to(tmp_path / "set/labels").as_posix() for path in (tmp_path / "set/labels").rglob("*.png")]
    assert sorted(name.split("/")[0] for name in names) == ["monday", "tuesday"]


def test_a_file_of_datumaros_own_lies_anywhere_and_has_items_twice(convert, tmp_path):
    pytest.importorskip("datumaro")
    tool_files.datumaro(tmp_path / "source")
    content = json.loads((tmp_path / "source/annotations/default.json").read_text())
    content["items"] *= 2
    (tmp_path / "source/annotations/default.json").unlink()
    (tmp_path / "source/labels.json").write_text(json.dumps(content))
    assert convert(source="source/labels.json") == 0
    assert (tmp_path / "set/labels/street.png").exists()


def test_what_cannot_be_read_does_not_hide_what_can(convert, tmp_path):
    """COCO's own archives hold the panoptic form beside the instances."""
    pytest.importorskip("datumaro")
    tool_files.coco(tmp_path / "source")
    panoptic = tool_files.coco_content([])
    panoptic["annotations"] = [{"image_id": 7, "file_name": "street.png", "segments_info": []}]
    (tmp_path / "source/annotations/panoptic.json").write_text(json.dumps(panoptic))
    assert convert() == 0
    assert (tmp_path / "set/labels/street.png").exists()


def test_the_panoptic_form_alone_is_refused(convert, tmp_path, capsys):
    panoptic = tool_files.coco_content([])
    panoptic["annotations"] = [{"image_id": 7, "file_name": "street.png", "segments_info": []}]
    (tmp_path / "source").mkdir()
    (tmp_path / "source/panoptic.json").write_text(json.dumps(panoptic))
    assert convert() == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/source/panoptic.json: a COCO file must hold instances. Received: the panoptic form.\n"
    )


def test_photographs_without_shapes_are_not_called_annotated(convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source")
    tool_files.labelme(tmp_path / "source", "empty", shapes=[])
    tool_files.labelme(tmp_path / "source", "line", shapes=[labelme_shape("edge", [(1, 1), (9, 9)], "line")])
    assert convert() == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/source: LabelMe, JSON, 1 annotated photographs\n")
