import json
import os
from pathlib import Path

import numpy as np
import pytest
from file_formats import open_domain, photograph, refusal, section, truncate, write, write_gta5, write_index, write_png
from PIL import Image

from ass_tf import datasets, files

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    ("bits", "rows", "ids"),
    [
        (1, [b"\x50", b"\xa0"], [[0, 1, 0, 1], [1, 0, 1, 0]]),
        (2, [b"\x1b", b"\xe4"], [[0, 1, 2, 3], [3, 2, 1, 0]]),
        (4, [b"\x01\x2f", b"\x98\x76"], [[0, 1, 2, 15], [9, 8, 7, 6]]),
        (8, [b"\x00\x01\x02\xff"] * 2, [[0, 1, 2, 255]] * 2),
        (16, [b"\x00\x01\x01\x00\x00\x00\x80\x00"] * 2, [[1, 256, 0, 32768]] * 2),
    ],
)
def test_grey_label_of_any_depth_is_not_stretched(tmp_path, bits, rows, ids):
    file = write_png(tmp_path / "1.png", rows, 4, bits, 0)
    assert files.read_label(file, "folder").tolist() == ids


def test_images_are_upright_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to view
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16] = 255
    write(tmp_path / "1.jpg", picture, exif=exif)
    image = files.read_image(tmp_path / "1.jpg")
    assert image.shape == (32, 16, 3)
    assert image[:16].mean() > 250
    assert image[16:].mean() < 5
    for array in (picture[..., 0], np.dstack([picture, picture[..., 0]])):  # grey, and with an alpha channel
        assert np.array_equal(files.read_image(write(tmp_path / "2.png", array)), picture)


@pytest.mark.parametrize(
    ("file", "spoil", "reason"),
    [
        ("images/00002.png", truncate, "cannot be decoded"),
        ("labels/00002.png", truncate, "cannot be decoded"),
        ("images/00002.png", lambda path: path.write_bytes(b""), "cannot be decoded"),
        ("images/00002.png", lambda path: path.unlink(), "No such file"),
        ("images/00002.png", lambda path: write(path, np.zeros((40, 80), np.uint16)), "8 bits a channel"),
        ("labels/00002.png", lambda path: write_index(path, np.full((40, 75), 7)), "Received: 40 x 75."),
        ("labels/00002.png", lambda path: write_index(path, np.full((40, 80), 99)), "Received: [99]."),
        ("labels/00002.png", lambda path: write(path, np.full((40, 80), 999, np.uint16)), "Received: [999]."),
        ("labels/00002.png", lambda path: write(path, photograph((40, 80))), "ids, not colours. Received: mode RGB"),
        ("labels/00002.png", lambda path: write(path, np.zeros((40, 80), np.uint8), format="JPEG"), "Received: JPEG."),
    ],
)  # fmt: skip
def test_check_names_the_file_and_what_is_wrong(tmp_path, file, spoil, reason):
    domain = open_domain("gta5", write_gta5(tmp_path))
    spoil(tmp_path / file)
    message = refusal(datasets.check, {"source": domain})
    assert message.startswith(f"{tmp_path / file}: ")
    assert reason in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_label_that_lacks_a_few_rows_or_is_smaller_is_taken(tmp_path):
    root = write_gta5(tmp_path)
    write_index(root / "labels/00001.png", np.full((39, 80), 7))
    write_index(root / "labels/00002.png", np.full((20, 40), 7))
    assert sum(datasets.check({"source": open_domain("gta5", root)})["source"].values()) == 3


def test_8_bit_synthia_label_is_refused(tmp_path):
    file = write(tmp_path / "1.png", np.zeros((2, 2), np.uint8))
    assert "three channels of 16 bits" in refusal(files.read_label, file, "synthia")


def test_check_lists_ten_files_and_counts_the_rest(tmp_path):
    domain = open_domain("gta5", write_gta5(tmp_path, 13, (4, 4)))
    for i in range(1, 13):
        truncate(tmp_path / "images" / f"{i:05d}.png")
    lines = refusal(datasets.check, {"source": domain}).splitlines()
    assert [Path(line.split(":")[0]).stem for line in lines[:10]] == [f"{i:05d}" for i in range(1, 11)]
    assert lines[10:] == ["and 2 more files."]


# What is remembered of good files


def count_decoded(monkeypatch):
    decoded = []
    read = files.open_image
    monkeypatch.setattr(files, "open_image", lambda path: decoded.append(path.stem) or read(path))
    return decoded


def test_good_files_are_decoded_again_only_when_they_change(tmp_path, monkeypatch):
    decoded = count_decoded(monkeypatch)
    domain = open_domain("gta5", write_gta5(tmp_path / "g"))
    truncate(tmp_path / "g/images/00003.png")
    for _ in range(2):  # the bad one each time
        refusal(datasets.check, {"source": domain})
    assert sorted(decoded) == ["00001", "00002", "00003", "00003"]
    write(tmp_path / "g/images/00003.png", photograph((40, 80)))
    write_index(tmp_path / "g/labels/00002.png", np.full((40, 80), 26))
    os.utime(tmp_path / "g/labels/00002.png", ns=(1, 1))
    decoded.clear()
    calls = []
    sizes = datasets.check({"source": domain, "labelled": domain}, lambda *call: calls.append(call))
    assert sorted(decoded) == ["00002", "00003"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert sizes == {"source": {(40, 80): 3}, "labelled": {(40, 80): 3}}
    decoded.clear()
    other = datasets.open_domain(("sky", "road"), **section("gta5", tmp_path / "g"))
    datasets.check({"source": other})
    assert len(decoded) == 3  # another class map


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "\ud800"])
def test_broken_memory_is_ignored(tmp_path, cache, content):
    cache.parent.mkdir(parents=True)
    cache.write_text(content, errors="replace")
    datasets.check({"source": open_domain("gta5", write_gta5(tmp_path / "g", 1))})
    assert len(json.loads(cache.read_text())) in (1, 2)
    known = json.loads(cache.read_text())
    cache.write_text(json.dumps({key: [[], "?"] for key in known}))
    datasets.check({"source": open_domain("gta5", tmp_path / "g")})


def test_memory_that_cannot_be_written_is_ignored(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    datasets.check({"source": open_domain("gta5", write_gta5(tmp_path / "g", 1))})
