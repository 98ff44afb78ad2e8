"""Which photograph annotations are taken for, and what is dropped where several claim one."""

import base64
import json
import shutil

import numpy as np
import pytest
import tool_files
from tool_files import counted, label_of, labelme_shape

from ass_tf.annotations import __main__ as command

SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]


@pytest.mark.parametrize("folder", ["source", "photos/test"])
@pytest.mark.parametrize("missing_first", [True, False])
def test_annotations_of_a_missing_photograph_do_not_take_its_namesake(missing_first, folder, convert, tmp_path, capsys):
    """Only that of `test` is there; the file lists one of `train`, too."""
    pytest.importorskip("datumaro")
    content = tool_files.coco_content([("car", [SQUARE]), ("road", [SQUARE])], "train/0001.png")
    content["images"].append({**content["images"][0], "id": 8, "file_name": "test/0001.png"})
    content["annotations"][1]["image_id"] = 8
    if not missing_first:
        content["images"].reverse()
    (tmp_path / "source").mkdir()
    (tmp_path / "source/all.json").write_text(json.dumps(content))
    tool_files.photograph(tmp_path / folder / "test/0001.png")
    assert convert("--images", tmp_path / folder) == 0
    assert set(label_of(tmp_path / "set", "0001").ravel()) == {"road", None}
    assert counted(capsys.readouterr().out) == {
        "further annotations of a photograph that has some: train/0001.png": 1,
    }


def test_what_earlier_calls_wrote_into_the_source_is_no_photograph(convert, tmp_path):
    source = tmp_path / "source"
    tool_files.labelme(source)
    tool_files.photograph(source / "more.png")
    for out in (source / "one", source / "two"):
        assert convert("--out", out) == 0
        found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
        assert found == ["images/more.png", "images/street.png", "labels/street.png"]
    shutil.copy(source / "street.json", source / "two/images/street.json")
    for words, place in ((["--images", source / "one"], "source"), ([], "source/two")):
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        assert convert(*words, source=place) == 0
        assert sorted(path.stem for path in (tmp_path / "set").glob("images/*")) == ["more", "street"]


def test_of_two_annotations_of_one_photograph_the_first_is_taken(convert, tmp_path):
    pytest.importorskip("datumaro")
    content = tool_files.coco_content([("car", [SQUARE]), ("road", [SQUARE])])
    content["images"].append({**content["images"][0], "id": 8})
    content["annotations"][1]["image_id"] = 8
    tool_files.photograph(tmp_path / "source/street.png")
    (tmp_path / "source/all.json").write_text(json.dumps(content))
    assert convert() == 0
    assert set(label_of(tmp_path / "set").ravel()) == {"car", None}


def test_a_list_without_annotations_takes_no_photograph(convert, tmp_path, capsys):
    """Of two COCO files both list the photograph, the second alone has shapes."""
    pytest.importorskip("datumaro")
    tool_files.photograph(tmp_path / "source/street.png")
    for name, shapes in (("a", []), ("b", [("car", [SQUARE])]), ("c", [])):
        (tmp_path / f"source/{name}.json").write_text(json.dumps(tool_files.coco_content(shapes)))
    assert convert() == 0
    assert (label_of(tmp_path / "set") == "car").sum() == 100
    assert "dropped: nothing" in capsys.readouterr().out


def test_a_photograph_is_found_beside_the_file_that_lists_it(convert, tmp_path):
    """Paths in a COCO file start where it lies."""
    pytest.importorskip("datumaro")
    for n, part in enumerate(("one", "two")):
        tool_files.photograph(tmp_path / f"source/{part}/images/street.png")
        content = tool_files.coco_content([(tool_files.NAMES[n], [SQUARE])], "images/street.png")
        (tmp_path / f"source/{part}/labels.json").write_text(json.dumps(content))
    assert convert() == 0
    assert "car" in label_of(tmp_path / "set", "one/images/street")
    assert "road" in label_of(tmp_path / "set", "two/images/street")


@pytest.mark.parametrize("path", ["a\0b.png", f"{'x' * 300}.png", "", ".", "/", ".."])
def test_paths_that_no_file_can_have_are_of_missing_photographs(path, convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source")
    tool_files.labelme(tmp_path / "source", "odd", imagePath=path)
    assert convert() == 0
    (what,) = counted(capsys.readouterr().out)
    assert what.startswith("annotations whose photograph is missing")


def test_a_link_to_a_photograph_gets_the_label_that_is_stated_of_it(convert, tmp_path):
    tool_files.labelme(tmp_path / "source/a")
    (tmp_path / "source/z").mkdir()
    (tmp_path / "source/a/street.png").rename(tmp_path / "source/z/pool.png")
    (tmp_path / "source/a/street.png").symlink_to(tmp_path / "source/z/pool.png")
    assert convert() == 0
    assert (tmp_path / "set/labels/a/street.png").exists()
    assert not (tmp_path / "set/labels/z").exists()


def embedded(folder, name, data=None):
    """A file whose photograph is not there, but in it."""
    tool_files.labelme(folder, name, imagePath="/gone/other.png")
    content = json.loads((folder / f"{name}.json").read_text())
    content["imageData"] = base64.b64encode((folder / f"{name}.png").read_bytes()).decode() if data is None else data
    (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / f"{name}.png").unlink()


def test_a_photograph_that_a_file_holds_needs_a_name_of_its_own(convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source/inner", "a")
    embedded(tmp_path / "source", "a")
    assert convert() == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/source/a.json: the photograph that it holds needs the name of "
        f"{tmp_path}/source/inner/a.png.\n"
    )


def test_paths_on_the_command_line_may_be_relative(convert, tmp_path, monkeypatch):
    embedded(tmp_path / "source", "a")
    tool_files.labelme(tmp_path / "source", "b")
    monkeypatch.chdir(tmp_path)
    assert command.main(["source", "--out", "set"]) == 0
    assert sorted(path.name for path in (tmp_path / "set/labels").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("data", ["ä", 3, "AAA"])
def test_a_file_that_holds_no_image_is_named(data, convert, tmp_path, capsys):
    tool_files.labelme(tmp_path / "source")
    embedded(tmp_path / "source", "a", data)
    assert convert() == 1
    error = f"error: {tmp_path}/source/a.json: its imageData must be an image in base 64.\n"
    assert capsys.readouterr().err == error


def test_paths_that_lead_out_of_the_folder_write_nothing_there(convert, tmp_path):
    """Names in the data set are those of files that are there, never those that a file states."""
    for n, path in enumerate(("../../evil.png", "/tmp/evil.png", "..\\evil.png", "a/../../evil.png")):
        embedded(tmp_path / "source/deep/er", f"p{n}")
        file = tmp_path / f"source/deep/er/p{n}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "imagePath": path}))
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "set")}
    assert convert() == 0
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "set")} == before
    assert sorted(path.name for path in (tmp_path / "set").rglob("*.png")) == [
        f"p{n}.png" for n in (0, 0, 1, 1, 2, 2, 3, 3)
    ]


def test_accents_written_in_two_ways_are_one_name(convert, tmp_path, capsys):
    """As training has it, which would refuse the data set."""
    for name in ("\N{LATIN SMALL LETTER A WITH DIAERESIS}", "a\N{COMBINING DIAERESIS}"):
        tool_files.labelme(tmp_path / "source", name)
    assert convert() == 1
    assert "has the same name." in capsys.readouterr().err


def test_many_photographs_of_one_name_are_told_apart_by_their_folders(convert, tmp_path):
    for n in range(12):
        shapes = [labelme_shape("car", [(n, 0), (n + 1, 0), (n + 1, 40), (n, 40)])]
        tool_files.labelme(tmp_path / f"source/{n}", shapes=shapes, imagePath=f"C:\\old\\{n}\\street.png")
    assert convert() == 0
    for n in range(12):
        assert np.flatnonzero((label_of(tmp_path / "set", f"{n}/street") == "car").all(0)).tolist() == [n]
