import struct

import numpy as np
import odd_files
import pytest
from PIL import Image

from street_inference import images, naming

PICTURE = Image.fromarray(odd_files.photograph((24, 40), 0))


@pytest.fixture
def decoded(tmp_path):
    def decode(content, **options):
        file = tmp_path / "file"
        file.write_bytes(content)
        return images.decode(file, **options)

    return decode


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_files_come_out_as_they_are(decoded, form):
    np.testing.assert_array_equal(decoded(odd_files.encoded(PICTURE, form)), PICTURE)


def test_webp_comes_out_as_it_is(decoded):
    np.testing.assert_array_equal(decoded(odd_files.encoded(PICTURE, "WEBP", lossless=True)), PICTURE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(decoded, mode):
    image = PICTURE.convert(mode)
    found = decoded(odd_files.encoded(image, "TIFF"))
    assert found.mode == "RGB"
    np.testing.assert_array_equal(found, image.convert("RGB"))


def test_grey_of_16_bits_keeps_its_high_byte(decoded):
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    for form in ("PNG", "TIFF"):
        found = decoded(odd_files.encoded(Image.fromarray(values), form))
        assert np.asarray(found)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_colour_of_16_bits_keeps_its_high_byte(decoded):
    content = odd_files.png_16bit((3, 4), 0)
    values = np.random.default_rng(0).integers(0, 65536, (3, 4, 3))
    np.testing.assert_array_equal(decoded(content), values >> 8)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_pictures_are_turned_upright(decoded, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(odd_files.encoded(PICTURE, "PNG", exif=exif))
    np.testing.assert_array_equal(found, np.rot90(np.asarray(PICTURE), turn))


def test_pictures_are_turned_upright_beside_a_damaged_entry(decoded):
    # Two entries: ImageWidth, a number by the standard, as text; orientation 6.
    entries = struct.pack("<HHI4sHHII", 0x0100, 2, 4, b"wid\0", 0x0112, 3, 1, 6)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    found = decoded(odd_files.encoded(PICTURE, "JPEG", exif=exif))
    assert found.size == (24, 40)


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "in" / "again").mkdir(parents=True)
    (tmp_path / "in" / "again" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a.png").touch()
    found = images.find([str(tmp_path)], tmp_path / "out")
    assert sorted(path.name for path in found) == ["a.png", "loop.jpg"]
    with pytest.raises(images.Unreadable):
        images.decode(tmp_path / "loop.jpg")


def test_first_frame_is_taken(decoded):
    frames = [Image.fromarray(odd_files.photograph((8, 9), i)) for i in range(2)]
    content = odd_files.encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(content), frames[0])


def test_large_claims_are_refused_before_they_are_unpacked(decoded):
    with pytest.raises(images.Unreadable, match="claims more pixels than the 178956970 that are allowed"):
        decoded(odd_files.png_of(60000, 60000))
    with pytest.raises(images.Unreadable, match="claims 40 x 24 pixels, more than the 959 that are allowed"):
        decoded(odd_files.encoded(PICTURE, "PNG"), max_pixels=959)
    assert decoded(odd_files.encoded(PICTURE, "PNG"), max_pixels=960).size == (40, 24)


def test_files_folders_and_patterns_are_found_once_each(tmp_path):
    for name in ("a.jpg", "b.PNG", "sub/c.tiff", "sub/d.txt", "e[1].bmp", "out/a_overlay.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    words = [
        str(tmp_path / "*.jpg"),
        str(tmp_path),
        str(tmp_path / "e[1].bmp"),
        "missing.png",
        str(tmp_path / "sub/d.txt"),
    ]
    found = [path.name for path in images.find(words, tmp_path / "out")]
    assert found == ["a.jpg", "b.PNG", "e[1].bmp", "c.tiff", "missing.png", "d.txt"]


def test_names_tell_equal_names_apart(tmp_path):
    paths = [tmp_path / name for name in ("x/1/a.jpg", "x/2/a.jpg", "y/2/a.jpg", "b.jpg", "b.png", "c.jpg", "C/C.jpg")]
    names = naming.output_names(paths)
    assert names == ["1__a", "x__2__a", "y__2__a", "b.jpg", "b.png", f"{tmp_path.name}__c", "C__C"]


def test_every_name_is_its_own_and_short_enough(tmp_path):
    paths = [tmp_path / part / ("ü" * 120 + end) for part in "ab" for end in (".jpg", ".png", "é.jpg")]
    names = naming.output_names(paths)
    assert len({name.casefold() for name in names}) == len(paths)
    assert max(len(f".{name}_overlay.jpg.12345678".encode()) for name in names) < 256


def test_pictures_are_shrunk_and_never_enlarged():
    assert images.shrink(PICTURE, 20, (None, None)).shape == (12, 20, 3)
    assert images.shrink(PICTURE, 80, (None, None)).shape == (24, 40, 3)
    assert images.shrink(PICTURE, 0, (None, None)).shape == (24, 40, 3)
    assert images.shrink(PICTURE, 20, (16, 64)).shape == (16, 64, 3)
    assert images.shrink(Image.new("RGB", (1000, 1)), 10, (None, None)).shape == (1, 10, 3)


def below(folder):
    return [path.relative_to(folder).as_posix() for path in images.find([str(folder)], folder.parent / "out")]


def draw(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)


def test_links_that_lead_back_end_and_names_are_those_of_real_folders(tmp_path):
    folder = tmp_path / "p"
    draw(folder / "b/deep/1.png", folder / "2.png")
    for link in ("all", "again", "b/deep/up"):
        (folder / link).symlink_to(folder)
    (folder / "a_deep").symlink_to(folder / "b/deep")
    draw(tmp_path / "elsewhere/3.png")
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    assert below(folder) == ["2.png", "b/deep/1.png", "c/3.png"]


def test_hidden_files_thumbnails_and_results_are_no_photographs_unless_they_are_named(tmp_path):
    folder = tmp_path / "p"
    draw(folder / "1.png", folder / "._1.png", folder / ".ipynb_checkpoints/1-checkpoint.png")
    draw(folder / "@eaDir/1.png", folder / "__MACOSX/1.png", folder / "results/1_colour.png", folder / "mine/4.png")
    (folder / "results/summary.csv").write_text(",".join(images.SUMMARY_HEAD) + ",road,error\n")
    (folder / "mine/summary.csv").write_text("my,own,table\n")
    assert below(folder) == ["1.png", "mine/4.png"]
    assert below(folder / "results") == ["1_colour.png"]
    assert below(folder / ".ipynb_checkpoints") == ["1-checkpoint.png"]


def test_pattern_below_a_folder_whose_name_is_a_pattern(tmp_path):
    draw(tmp_path / "photos [1]/a.png", tmp_path / "photos [1]/b.jpg", tmp_path / "photos 1/c.png")
    found = images.find([str(tmp_path / "photos [1]/*.png")], tmp_path / "out")
    assert found == [tmp_path / "photos [1]/a.png"]
    assert images.find([str(tmp_path / "photos*/*.png")], tmp_path / "out") == [
        tmp_path / "photos 1/c.png",
        tmp_path / "photos [1]/a.png",
    ]


def test_pattern_takes_no_results_and_no_thumbnails_unless_it_names_their_folder(tmp_path):
    draw(*(tmp_path / name for name in ("1.png", "sub/2.png", "sub/deep/3.png", "@eaDir/1.png", "out/1_colour.png")))
    (tmp_path / "out/summary.csv").write_text(",".join(images.SUMMARY_HEAD) + ",road,error\n")

    def found(pattern):
        paths = images.find([str(tmp_path / pattern)], tmp_path / "new")
        return [path.relative_to(tmp_path).as_posix() for path in paths]

    assert found("*") == ["1.png", "sub/2.png", "sub/deep/3.png"]
    assert found("*/*.png") == ["sub/2.png"]
    assert found("**") == found("**/*.png") == ["1.png", "sub/2.png", "sub/deep/3.png"]
    assert found("**/deep/*") == found("s*/**/3.*") == ["sub/deep/3.png"]
    assert found("out/*.png") == found("out/**/*.png") == ["out/1_colour.png"]
    assert found("@eaDir/*.png") == ["@eaDir/1.png"]
    assert found("**/*.jpg") == ["**/*.jpg"]  # named as missing later


def test_pattern_of_any_depth_ends_where_links_lead_back(tmp_path):
    draw(tmp_path / "a/1.png")
    for link in ("all", "again", "a/up"):
        (tmp_path / link).symlink_to(tmp_path)
    assert images.find([str(tmp_path / "**/*.png")], tmp_path / "out") == [tmp_path / "a/1.png"]


def test_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    draw(tmp_path / "closed/1.png", tmp_path / "open/2.png")
    iterdir = type(tmp_path).iterdir

    def refuse(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    assert below(tmp_path) == ["open/2.png", "closed"]
