"""Files decoded: labels to raw ids whatever their packing, photographs to upright RGB."""

import os
import subprocess
import sys
import zlib

import numpy as np
import odd_files
import pytest
from file_formats import photograph, refusal, write, write_png, write_synthia
from PIL import Image

from ass_tf import datasets
from ass_tf.datasets import decoding
from street_inference import images


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


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_interlaced_grey_label_is_read_as_it_is(tmp_path, bits):
    ids = np.random.default_rng(0).integers(0, 2**bits, (11, 13))
    file = write_png(tmp_path / "1.png", [packed(row, bits) for row in passes(ids)], 13, bits, 0, height=11)
    assert np.array_equal(decoding.read_label(file, "folder"), ids)


def test_interlaced_synthia_label_is_read_as_it_is(tmp_path):
    values = np.random.default_rng(0).integers(0, 23, (11, 13, 3)) * [1, 700, 0]
    rows = [packed(row, 16) for row in passes(values)]
    file = write_png(tmp_path / "1.png", rows, 13, 16, 2, height=11)
    assert np.array_equal(decoding.read_label(file, "synthia"), values[..., 0])


def passes(pixels):
    """Rows of the seven passes in which an interlaced PNG holds its pixels."""
    for x, y, right, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)):
        yield from pixels[y::down, x::right]
    yield from pixels[1::2]


def packed(row, bits):
    if bits == 16:
        return row.astype(">u2").tobytes()
    text = "".join(f"{value:0{bits}b}" for value in row)
    return bytes(int(text[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(text), 8))


@pytest.mark.parametrize("dataset", ["folder", "carla"])
def test_transparency_of_a_grey_label_makes_no_difference(tmp_path, dataset):
    ids = np.array([[0, 7], [11, 23]], np.uint8)
    file = write(tmp_path / "1.png", np.dstack([ids, [[0, 1], [200, 255]]]).astype(np.uint8))
    with Image.open(file) as image:
        assert image.mode == "LA"
    assert np.array_equal(decoding.read_label(file, dataset), ids)
    assert np.array_equal(decoding.raw_pixels(file), ids)


def test_ids_in_a_red_channel_of_16_bits_are_refused_as_pillow_drops_them(tmp_path):
    file = write_synthia(tmp_path / "1.png", np.full((2, 3), 7))
    rule = "a label must hold 8 bits a channel where the red one is the id. Received: RGB;16B."
    assert refusal(decoding.read_label, file, "carla") == f"{file}: {rule}"


def test_what_cannot_be_read_as_a_label_is_told_in_the_words_of_photographs(tmp_path):
    for name, content in odd_files.broken_files(0).items():
        (tmp_path / name).write_bytes(content)
        message = refusal(decoding.read_label, tmp_path / name, "folder")
        assert message.startswith(f"{tmp_path / name}: "), name
        assert message.endswith("."), name
        assert not {"\n", "'", '"'} & set(message), message
    os.mkfifo(tmp_path / "pipe.png")
    assert refusal(decoding.read_label, tmp_path / "pipe.png", "folder") == f"{tmp_path}/pipe.png: is no ordinary file."
    file = write(tmp_path / "j.png", photograph((8, 8)), format="JPEG")
    assert refusal(decoding.raw_pixels, file) == f"{file}: a label must be a PNG. Received: JPEG."


def test_what_is_wrong_with_a_photograph_is_told_once(tmp_path):
    comment = odd_files.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20)))  # more than Pillow unpacks
    whole = odd_files.png_of(1, 1, bytes(4))
    (tmp_path / "1.png").write_bytes(whole[:33] + comment + whole[33:])
    message = refusal(decoding.read_image, tmp_path / "1.png")
    assert message.startswith(f"{tmp_path}/1.png: cannot be decoded: Decompressed data too large")


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


def test_8_bit_synthia_label_is_refused(tmp_path):
    file = write(tmp_path / "1.png", np.zeros((2, 2), np.uint8))
    assert "three channels of 16 bits" in refusal(decoding.read_label, file, "synthia")


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
