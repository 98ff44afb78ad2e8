"""Which outputs are written by default, and JPEGs that are decoded no larger than the model needs."""

import exports
import numpy as np
import odd_files
import pytest
from PIL import Image

from ass_tf.export import agreement
from street_inference import command, drawing, flow, images

NONE = (None, None)


@pytest.fixture
def jpeg(tmp_path):
    """A smooth picture of 512 x 384, as a JPEG that is turned by its EXIF data if asked for."""

    def make(**settings):
        small = Image.fromarray(odd_files.photograph((24, 32), 0))
        file = tmp_path / "picture.jpg"
        small.resize((512, 384), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95, **settings)
        return file

    return make


def names(out):
    return sorted(path.name for path in out.iterdir())


def test_an_overlay_is_written_only_when_asked_for(model, jpeg, tmp_path):
    assert exports.infer(model, jpeg(), "--out", tmp_path / "out").returncode == 0
    assert names(tmp_path / "out") == ["inference.json", "picture_colour.png", "picture_labels.png", "summary.csv"]
    assert exports.infer(model, jpeg(), "--out", tmp_path / "all", "--outputs", *exports.EVERY).returncode == 0
    assert names(tmp_path / "all") == [*names(tmp_path / "out")[:3], "picture_overlay.jpg", "summary.csv"]
    for name in ("picture_colour.png", "picture_labels.png"):
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.parametrize(
    ("side", "size"),
    [(64, (128, 96)), (65, (256, 192)), (128, (256, 192)), (129, (512, 384)), (0, (512, 384)), (1000, (512, 384))],
)
def test_a_draft_has_at_least_twice_the_sides_that_the_model_takes(jpeg, side, size):
    image, whole = images.draft(jpeg(), images.MAX_PIXELS, side, NONE)
    assert (image.size, whole) == (size, (512, 384))
    pixels, exact = images.shrink(image, side, NONE, whole), images.shrink(images.decode(jpeg()), side, NONE)
    assert pixels.shape == exact.shape
    if size == whole:
        np.testing.assert_array_equal(pixels, exact)
    assert np.abs(pixels.astype(int) - exact).mean() < 2


def test_a_draft_for_a_model_of_one_size_is_large_enough_in_both_directions(jpeg):
    assert images.draft(jpeg(), images.MAX_PIXELS, 0, (32, 128))[0].size == (256, 192)
    assert images.draft(jpeg(), images.MAX_PIXELS, 0, (128, 32))[0].size == (512, 384)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_draft_is_upright(jpeg, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = jpeg(exif=exif)
    exact = images.decode(file)
    image, whole = images.draft(file, images.MAX_PIXELS, 0, (exact.height // 4, exact.width // 4))
    assert (whole, image.size) == (exact.size, (exact.width // 2, exact.height // 2))
    assert np.abs(np.asarray(exact.resize(image.size)).astype(int) - np.asarray(image)).mean() < 4


@pytest.mark.parametrize("size", [(511, 383), (509, 7), (1, 300)])
def test_sizes_are_those_of_the_file_however_it_is_drafted(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "odd.jpg")
    image, whole = images.draft(tmp_path / "odd.jpg", images.MAX_PIXELS, 50, NONE)
    assert whole == size
    assert images.shrink(image, 50, NONE, whole).shape == images.shrink(Image.new("RGB", size), 50, NONE).shape


def test_a_file_of_another_form_and_a_broken_one_are_treated_as_without_drafts(jpeg, tmp_path):
    picture = images.decode(jpeg())
    picture.save(tmp_path / "picture.png")
    image, whole = images.draft(tmp_path / "picture.png", images.MAX_PIXELS, 32, NONE)
    assert image.size == whole == picture.size
    (tmp_path / "cut.jpg").write_bytes(jpeg().read_bytes()[:3000])
    with pytest.raises(images.Unreadable) as exact:
        images.decode(tmp_path / "cut.jpg")
    with pytest.raises(images.Unreadable) as drafted:
        images.draft(tmp_path / "cut.jpg", images.MAX_PIXELS, 32, NONE)
    assert str(drafted.value) == str(exact.value)
    with pytest.raises(images.Unreadable, match="claims 512 x 384 pixels, more than the 1000 that are allowed"):
        images.draft(jpeg(), 1000, 32, NONE)


@pytest.mark.parametrize(
    ("words", "drafted"),
    [
        (["--draft"], True),
        (["--draft", "--outputs", "labels"], True),
        ([], False),
        (["--draft", "--outputs", "labels", "overlay"], False),
    ],
)
def test_drafts_are_used_when_asked_for_and_no_output_needs_the_whole_picture(
    model, jpeg, tmp_path, monkeypatch, words, drafted
):
    seen, shrink = [], images.shrink
    monkeypatch.setattr(images, "shrink", lambda image, *a, **k: seen.append(image.size) or shrink(image, *a, **k))
    file = jpeg()
    assert command.main([str(model), str(file), "--out", str(tmp_path / "out"), *words]) == 0
    assert seen == [(128, 96) if drafted else (512, 384)]
    with Image.open(tmp_path / "out/picture_labels.png") as found:
        assert found.size == (512, 384)
        if not drafted:
            small = shrink(images.decode(file), 64, NONE)  # judged on 32 x 64
            expected = agreement.session_of(model).run(["labels"], {"image": small[None]})[0][0]
            np.testing.assert_array_equal(found, Image.fromarray(expected).resize((512, 384), Image.Resampling.NEAREST))


def test_the_whole_picture_is_kept_for_an_overlay_only(jpeg, tmp_path):
    for outputs, kept in ((["labels", "colour"], False), (["overlay"], True)):
        options = flow.Options(tmp_path, outputs, images.MAX_PIXELS, 64, NONE)
        photograph = flow.read(flow.Photograph(jpeg(), "picture"), options)
        assert (photograph.image is not None, photograph.size) == (kept, (384, 512))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (33, 70)])
def test_label_maps_and_colours_are_ordinary_pngs_of_the_same_values(tmp_path, size):
    labels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    palette = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
    drawing.write(tmp_path, "p", None, size, labels, ["road"], palette, drawing.DEFAULTS)
    with Image.open(tmp_path / "p_labels.png") as grey, Image.open(tmp_path / "p_colour.png") as coloured:
        assert (grey.mode, coloured.mode) == ("L", "P")
        np.testing.assert_array_equal(grey, labels)
        np.testing.assert_array_equal(coloured.convert("RGB"), palette[labels])
    assert names(tmp_path) == ["p_colour.png", "p_labels.png"]
