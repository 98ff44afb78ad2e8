"""Drawn streets: pure, labelled exactly, in the layouts that the loaders read."""

import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ass_tf import labels, streets
from ass_tf.streets import __main__ as streets_command
from ass_tf.streets import writing

SMALL = (64, 128)
CLASSES = (
    "road", "sidewalk", "building", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain", "sky",
    "person", "car",
)  # fmt: skip
ALLOWED = {*CLASSES, "wall", "rider", "truck", "bus", "bicycle"}


@pytest.fixture(scope="module", params=streets.LOOKS)
def scenes(request):
    """30 small scenes of one look: its name, images, labels."""
    images, label_maps = zip(*(streets.draw_scene(request.param, seed, SMALL) for seed in range(30)))
    return request.param, np.stack(images), np.stack(label_maps)


@pytest.mark.parametrize("look", streets.LOOKS)
def test_a_scene_is_a_pure_function_of_its_arguments(look):
    first = streets.draw_scene(look, 5, SMALL)
    np.random.seed(1)  # noqa: NPY002
    second = streets.draw_scene(look, 5, SMALL)
    for a, b in zip(first, second):
        assert a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)


def test_different_seeds_draw_different_streets(scenes):
    _, images, label_maps = scenes
    for i in range(1, len(images)):
        assert np.mean(label_maps[i] != label_maps[0]) > 0.05
        assert np.mean(images[i] != images[0]) > 0.5


def test_labels_hold_no_other_ids_than_the_promised(scenes):
    _, _, label_maps = scenes
    assert {labels.CITYSCAPES_RAW[int(raw_id)][0] for raw_id in np.unique(label_maps)} <= ALLOWED


def test_every_class_occurs_within_30_scenes(scenes):
    _, _, label_maps = scenes
    found = {labels.CITYSCAPES_RAW[int(raw_id)][0] for raw_id in np.unique(label_maps)}
    assert set(CLASSES) <= found


def test_road_and_building_are_the_commonest_classes(scenes):
    _, _, label_maps = scenes
    commonest = np.argsort(np.bincount(label_maps.ravel(), minlength=256))[-2:]
    assert {labels.CITYSCAPES_RAW[int(raw_id)][0] for raw_id in commonest} == {"road", "building"}


def test_the_sky_is_above_the_road(scenes):
    _, _, label_maps = scenes
    rows = np.broadcast_to(np.arange(SMALL[0])[:, None], SMALL)
    for label in label_maps:
        if (label == 23).any():
            assert rows[label == 23].mean() < rows[label == 7].mean()


def test_neighbouring_classes_differ_in_the_image(scenes):
    """Labels follow what is seen: the image changes more across a label's edge than within one label."""
    _, images, label_maps = scenes
    step = np.abs(np.diff(images.astype(np.float32).mean(3), axis=2))
    edge = label_maps[:, :, 1:] != label_maps[:, :, :-1]
    assert step[edge].mean() > 2 * step[~edge].mean()


def test_the_two_looks_differ_in_their_colours():
    spread = {}
    for look in streets.LOOKS:
        images = np.stack([streets.draw_scene(look, seed, SMALL)[0] for seed in range(12)]).astype(np.float32)
        spread[look] = (images.max(3) - images.min(3)).mean()
    assert spread["game"] > 1.5 * spread["camera"]


@pytest.mark.parametrize("size", [(64, 128), (101, 203), (129, 65)])
def test_odd_sizes_are_drawn(size):
    for look in streets.LOOKS:
        image, label = streets.draw_scene(look, 3, size)
        assert image.shape == (*size, 3)
        assert label.shape == size


@pytest.mark.parametrize(
    ("look", "size", "message"), [("film", SMALL, r"look must .* film"), ("game", (8, 128), r"size must .* 8x128")]
)
def test_a_bad_argument_is_named(look, size, message):
    with pytest.raises(ValueError, match=message):
        streets.draw_scene(look, 0, size)


def test_gta5_files_are_rgb_and_palette_pngs_of_raw_ids(tmp_path):
    streets.write_gta5(tmp_path, 2, 0, SMALL)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert files == ["images/00001.png", "images/00002.png", "labels/00001.png", "labels/00002.png"]
    with Image.open(tmp_path / "images/00001.png") as image, Image.open(tmp_path / "labels/00001.png") as label:
        assert (image.mode, label.mode) == ("RGB", "P")
        assert image.size == label.size == SMALL[::-1]
        assert 7 in np.asarray(label)
        palette = np.array(labels.gta5_palette()).reshape(-1, 3)
        np.testing.assert_array_equal(np.asarray(label.convert("RGB")), palette[np.asarray(label)])


def test_cityscapes_files_have_its_names_and_grey_raw_ids(tmp_path):
    streets.write_cityscapes(tmp_path, {"train": 2, "val": 1}, 0, SMALL)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert files == [
        "gtFine/train/drawnville/drawnville_000000_000019_gtFine_labelIds.png",
        "gtFine/train/drawnville/drawnville_000001_000019_gtFine_labelIds.png",
        "gtFine/val/penciltown/penciltown_000000_000019_gtFine_labelIds.png",
        "leftImg8bit/train/drawnville/drawnville_000000_000019_leftImg8bit.png",
        "leftImg8bit/train/drawnville/drawnville_000001_000019_leftImg8bit.png",
        "leftImg8bit/val/penciltown/penciltown_000000_000019_leftImg8bit.png",
    ]
    modes = {}
    for name in files:
        with Image.open(tmp_path / name) as picture:
            modes[name.split("/")[0]] = picture.mode
    assert modes == {"gtFine": "L", "leftImg8bit": "RGB"}
    pictures = {(tmp_path / name).read_bytes() for name in files}
    assert len(pictures) == len(files)


def test_a_file_that_exists_is_kept_and_its_missing_partner_drawn(tmp_path):
    streets.write_gta5(tmp_path, 1, 0, SMALL)
    image, label = tmp_path / "images/00001.png", tmp_path / "labels/00001.png"
    drawn = label.read_bytes()
    image.write_bytes(b"mine")
    label.unlink()
    streets.write_gta5(tmp_path, 1, 0, SMALL)
    assert image.read_bytes() == b"mine"
    assert label.read_bytes() == drawn


@pytest.mark.parametrize(("seed", "size"), [(1, SMALL), (0, (64, 64))])
def test_folder_of_other_scenes_is_refused_and_left_alone(tmp_path, seed, size):
    streets.write_gta5(tmp_path, 1, 0, SMALL)
    drawn = (tmp_path / "images/00001.png").read_bytes()
    with pytest.raises(
        ValueError, match=r'folder must be new or hold scenes of .*"look": "game".*Received: .*"seed": 0'
    ):
        streets.write_gta5(tmp_path, 1, seed, size)
    assert (tmp_path / "images/00001.png").read_bytes() == drawn


def test_folder_of_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match=r"Received: files that were not drawn\."):
        streets.write_gta5(tmp_path, 1, 0, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_what_a_killed_process_left_does_not_make_a_folder_another_ones(tmp_path):
    (tmp_path / ".drawn.json.12345678.part").touch()
    streets.write_gta5(tmp_path, 1, 0, SMALL)
    assert (tmp_path / "labels/00001.png").exists()


def test_an_unreadable_record_is_named(tmp_path):
    (tmp_path / "drawn.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"drawn\.json: the file must be text in UTF-8"):
        streets.write_gta5(tmp_path, 1, 0, SMALL)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"counts must .* Received: dev"):
        streets.write_cityscapes(tmp_path / "out", {"dev": 1}, 0, SMALL)
    assert not (tmp_path / "out").exists()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ass_tf.streets", *map(str, arguments)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_command_writes_both_data_sets_in_several_processes(tmp_path):
    done = command(tmp_path, "--source", 17, "--target", 2, "--val", 1, "--size", "64x128", "--seed", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert len(list((tmp_path / "gta5/labels").glob("*.png"))) == 17
    assert len(list((tmp_path / "cityscapes/leftImg8bit").rglob("*_leftImg8bit.png"))) == 3
    streets.write_gta5(tmp_path / "alone", 1, 3, SMALL)  # one process draws the same
    assert (tmp_path / "alone/images/00001.png").read_bytes() == (tmp_path / "gta5/images/00001.png").read_bytes()


def test_a_killed_process_ends_the_command_in_one_line(tmp_path, capsys, monkeypatch):
    class Pool:
        """Of which a process is killed, as by a system that is short of memory."""

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, *_, **__):
            raise BrokenProcessPool

    monkeypatch.setattr(writing.concurrent.futures, "ProcessPoolExecutor", Pool)
    assert streets_command.main([str(tmp_path), "--source", "17"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a process that draws was killed; ")


# More than 250000 scenes to train on would be those to validate on.
@pytest.mark.parametrize(
    "arguments", [["--size", "8x8"], ["--source", "-1"], ["--val", "few"], ["--colour"], ["--target", "250001"]]
)
def test_a_bad_option_is_refused_before_anything_is_drawn(tmp_path, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        streets_command.main([str(tmp_path / "out"), *arguments])
    assert ended.value.code == 2
    assert " error: " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named_in_one_line_before_anything_is_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(streets, "draw_scene", None)
    (tmp_path / "file").touch()
    assert streets_command.main([str(tmp_path / "file/out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: OUT must be a folder.")


def test_a_folder_of_other_scenes_is_refused_by_the_command_in_one_line(tmp_path, capsys):
    few = ["--source", "1", "--target", "1", "--val", "1", "--size", "64x128"]
    assert streets_command.main([str(tmp_path), *few]) == 0
    assert streets_command.main([str(tmp_path), *few, "--seed", "1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'gta5'}: the folder must be new or hold scenes of ")
