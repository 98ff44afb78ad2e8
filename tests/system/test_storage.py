"""Files written whole or not at all, and places of results looked at before the work."""

import os

import pytest

from ass_tf.system import storage


def test_file_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    storage.write_text(tmp_path / "new/ü.txt", "straße\n")
    assert (tmp_path / "new/ü.txt").read_bytes() == "straße\n".encode()
    with pytest.raises(TypeError), storage.replacing(tmp_path / "new/ü.txt") as unfinished:
        unfinished.write_text(3)
    assert (tmp_path / "new/ü.txt").read_text(encoding="utf-8") == "straße\n"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["ü.txt"]


def test_error_names_the_file_and_not_its_temporary_name(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="Is a directory") as caught:
        storage.write_text(tmp_path / "folder", "")
    assert caught.value.filename == str(tmp_path / "folder")
    with pytest.raises(OSError) as caught, storage.replacing(tmp_path / "a.bin") as unfinished:
        (unfinished / "below").write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.mark.parametrize("place", ["/proc", "/proc/new/deep"])
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="there is no /proc")
def test_folder_that_takes_no_file_is_refused_even_for_root(place):
    with pytest.raises(ValueError, match=rf"--out must be a folder that can be written\. Received: {place} \(/proc: "):
        storage.check_folder(place, "--out")
    with pytest.raises(ValueError, match="the folder of --out must be a folder that can be written"):
        storage.check_file("/proc/a.onnx", "--out")


def test_looking_at_a_folder_makes_nothing(tmp_path):
    storage.check_folder(tmp_path / "a/b", "--out")
    storage.check_file(tmp_path / "a/b.txt", "--out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "shown"), [("plain é 街", "plain é 街"), ("a\nb\u200b", "a\\nb\\u200b"), ("x" * 300, "x" * 200 + "...")]
)
def test_text_of_an_error_is_one_line_that_can_be_seen(text, shown):
    assert storage.shown(text) == shown
