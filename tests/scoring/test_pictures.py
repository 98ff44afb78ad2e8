import numpy as np
import pytest
from PIL import Image

from ass_tf import labels
from ass_tf.scoring import pictures

NAMES = labels.class_names("cityscapes19")
PALETTE = labels.colours(NAMES)
ROAD, SKY = (128, 64, 128), (70, 130, 180)
MAP = np.array([[0, 10], [0, labels.IGNORE]], np.uint8)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_classes_get_their_cityscapes_colours_and_ignored_pixels_black():
    picture = pictures.colour(MAP, PALETTE)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, [[ROAD, SKY], [ROAD, (0, 0, 0)]])


def test_overlay_blends_by_alpha_and_leaves_ignored_pixels_alone():
    image = np.full((2, 2, 3), 100, np.uint8)
    picture = pictures.overlay(image, MAP, PALETTE, alpha=0.25)
    # 0.75 * 100 + 0.25 * (128, 64, 128) = (107, 91, 107)
    np.testing.assert_array_equal(picture[0, 0], (107, 91, 107))
    np.testing.assert_array_equal(picture[1, 1], (100, 100, 100))


def test_overlay_brings_labels_to_the_images_size():
    image = np.zeros((4, 6, 3), np.uint8)
    picture = pictures.overlay(image, np.array([[0, 10]]), PALETTE, alpha=1)
    np.testing.assert_array_equal(picture[:, :3], np.broadcast_to(ROAD, (4, 3, 3)))
    np.testing.assert_array_equal(picture[:, 3:], np.broadcast_to(SKY, (4, 3, 3)))


def test_strip_puts_panels_side_by_side_at_the_first_ones_height():
    image = noise(8, 16)
    truth = pictures.colour(np.kron(MAP, np.ones((8, 16), np.uint8)), PALETTE)  # (16, 32)
    picture = pictures.strip([image, truth, image])
    assert picture.shape == (8, 3 * 16 + 2 * pictures.GAP, 3)
    np.testing.assert_array_equal(picture[:, :16], image)
    np.testing.assert_array_equal(picture[:, -16:], image)


def test_strip_keeps_class_colours_exact_when_it_resizes():
    truth = pictures.colour(np.random.default_rng(0).integers(0, 19, (37, 50)), PALETTE)
    picture = pictures.strip([noise(20, 20), truth])
    panel = picture[:, 20 + pictures.GAP :]
    assert {tuple(c) for c in panel.reshape(-1, 3)} <= {tuple(c) for c in PALETTE[:19]}


def test_captions_take_room_above_the_panels_and_long_ones_are_shortened():
    image = noise(40, 60)
    picture = pictures.strip([image, image], ["a_very_long_name_of_a_picture_000019", "truth"], height=40)
    above = picture.shape[0] - 40
    assert above > 0
    np.testing.assert_array_equal(picture[above:, :60], image)
    assert (picture[:above, 60 : 60 + pictures.GAP] == 255).all()  # the caption stays above its panel
    assert (picture[:above, :60] < 128).any()


def test_legend_shows_every_colour_within_the_width():
    for width in (100, 400, 1200):
        picture = pictures.legend(NAMES, PALETTE, width)
        assert picture.shape[1] == width
        colours = {tuple(c) for c in picture.reshape(-1, 3)}
        assert {tuple(c) for c in PALETTE[:19]} <= colours
        assert (0, 0, 0) in colours


def test_stack_puts_pictures_of_different_widths_below_each_other():
    wide, narrow = noise(3, 9), noise(5, 4)
    picture = pictures.stack([wide, narrow])
    assert picture.shape == (3 + pictures.GAP + 5, 9, 3)
    np.testing.assert_array_equal(picture[:3], wide)
    np.testing.assert_array_equal(picture[-5:, :4], narrow)
    assert (picture[-5:, 4:] == 255).all()


def test_png_is_read_back_equal_and_nothing_else_stays_in_the_folder(tmp_path):
    picture = noise(5, 7)
    path = pictures.save_png(tmp_path / "new" / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_failed_writing_leaves_the_old_png_whole(tmp_path, monkeypatch):
    path = pictures.save_png(tmp_path / "a.png", noise(5, 7))
    before = path.read_bytes()

    def fail(self, file, *_):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        pictures.save_png(path, noise(6, 6))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["道路", "two\nlines", "\udcff", "[bold]", "", "wide " * 999])
def test_any_name_can_be_a_caption_and_stand_in_a_legend(name):
    image = noise(40, 60)
    assert pictures.strip([image, image], [name, name]).shape[1] == 2 * 60 + pictures.GAP
    for width in (10, 300):
        picture = pictures.legend([name, "road"], PALETTE, width)
        assert picture.shape[1] == width
        assert {tuple(c) for c in PALETTE[:2]} <= {tuple(c) for c in picture.reshape(-1, 3)}
