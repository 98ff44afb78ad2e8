import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import odd_files
import pytest
from file_formats import open_domain, photograph, refusal, section, truncate, write, write_gta5, write_index, write_png
from PIL import Image

from ass_tf import datasets
from ass_tf.datasets import checking, decoding
from street_inference import images

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
    assert decoding.read_label(file, "folder").tolist() == ids


def test_images_are_upright_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to view
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16] = 255
    write(tmp_path / "1.jpg", picture, exif=exif)
    image = decoding.read_image(tmp_path / "1.jpg")
    assert image.shape == (32, 16, 3)
    assert image[:16].mean() > 250
    assert image[16:].mean() < 5
    for array in (picture[..., 0], np.dstack([picture, picture[..., 0]])):  # grey, and with an alpha channel
        assert np.array_equal(decoding.read_image(write(tmp_path / "2.png", array)), picture)


@pytest.mark.parametrize(
    ("file", "spoil", "reason"),
    [
        ("images/00002.png", truncate, "cannot be decoded"),
        ("labels/00002.png", truncate, "cannot be decoded"),
        ("images/00002.png", lambda path: path.write_bytes(b""), "cannot be decoded"),
        ("images/00002.png", lambda path: path.unlink(), "No such file"),
        ("images/00002.png", lambda path: write(path, np.ones((4, 8), np.float32), format="TIFF"), "floating-point"),
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
    assert sum(datasets.check({"source": open_domain("gta5", root)})["source"].sizes.values()) == 3


def test_8_bit_synthia_label_is_refused(tmp_path):
    file = write(tmp_path / "1.png", np.zeros((2, 2), np.uint8))
    assert "three channels of 16 bits" in refusal(decoding.read_label, file, "synthia")


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
    read = checking.open_image
    monkeypatch.setattr(checking, "open_image", lambda path: decoded.append(path.stem) or read(path))
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
    facts = datasets.check({"source": domain, "labelled": domain}, lambda *call: calls.append(call))
    assert sorted(decoded) == ["00002", "00003"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert facts["source"].sizes == facts["labelled"].sizes == {(40, 80): 3}
    assert facts["source"].pixels.tolist() == facts["labelled"].pixels.tolist()
    assert facts["source"].pixels[1].nonzero()[0].tolist() == [13]  # car
    assert facts["source"].pixels[1].sum() == 40 * 80
    decoded.clear()
    other = datasets.open_domain(("sky", "road"), section("gta5", tmp_path / "g"))
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


def test_training_and_inference_read_the_same_pixels_of_the_same_files(tmp_path):
    kinds = odd_files.make(tmp_path)
    for path, kind in kinds.items():
        if kind == odd_files.BROKEN:
            with pytest.raises(datasets.DataError) as caught:
                decoding.read_image(path)
            assert str(caught.value).startswith(f"{path}: "), path
            assert "\n" not in str(caught.value)
        else:
            np.testing.assert_array_equal(decoding.read_image(path), np.asarray(images.decode(path)), err_msg=str(path))
    found = datasets.open_photographs(tmp_path, (32, 64))
    assert {pair.image for pair in found.pairs} == set(images.find([str(tmp_path)], tmp_path / "out"))


def test_reading_photographs_changes_no_setting_of_the_process():
    code = (
        "import warnings, numpy, onnxruntime; from PIL import Image\n"
        "before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)\n"
        "import ass_tf.datasets, street_inference.command\n"
        "assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_labels_that_are_ignored_altogether_are_refused(tmp_path):
    write_gta5(tmp_path, 3, (4, 8))
    for label in (tmp_path / "labels").iterdir():
        write_index(label, np.zeros((4, 8)))
    for _ in range(2):  # decoded, then remembered
        with pytest.raises(datasets.DataError, match="source: every pixel of every label is ignored"):
            datasets.check({"source": open_domain("gta5", tmp_path)})
    write_index(tmp_path / "labels/00002.png", np.full((4, 8), 7))
    datasets.check({"source": open_domain("gta5", tmp_path)})


def test_files_that_were_not_asked_for_in_a_long_time_are_forgotten(tmp_path, cache, monkeypatch):
    now = [1e9]
    monkeypatch.setattr(checking.time, "time", lambda: now[0])
    for name in "ab":
        write_gta5(tmp_path / name, 2, (4, 8))
        datasets.check({"source": open_domain("gta5", tmp_path / name)})
    now[0] += 60 * 86400
    datasets.check({"source": open_domain("gta5", tmp_path / "a")})
    now[0] += 60 * 86400
    write_gta5(tmp_path / "c", 1, (4, 8))
    datasets.check({"source": open_domain("gta5", tmp_path / "c")})
    remembered = {key.split("|")[0].removeprefix(str(tmp_path)) for key in json.loads(cache.read_text())}
    assert remembered == {"/a/images/00001.png", "/a/images/00002.png", "/c/images/00001.png"}
    assert [path.name for path in cache.parent.iterdir()] == ["checked.json"]
