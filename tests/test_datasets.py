import inspect
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ass_tf import config, datasets, files, labels

ROOT = Path(__file__).parents[1]
REAL = Path(__file__).parents[2] / "shared" / "data"
CLASSES = labels.CLASS_SETS["cityscapes19"]
ROAD, SIDEWALK, POLE, SKY, CAR = (CLASSES.index(name) for name in ("road", "sidewalk", "pole", "sky", "car"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What is remembered of checked files stays out of the user's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ass_tf" / "checked.json"


def section(dataset, root, size=(32, 64), **given):
    return config.Domain(dataset=dataset, root=str(root), size=size, **given).model_dump()


def open_domain(dataset, root, classes=CLASSES, require_labels=True, **given):
    return datasets.open_domain(classes, **section(dataset, root, **given), require_labels=require_labels)


def names(domain):
    return [pair.name for pair in domain.pairs]


def write(path, array, mode=None, **given):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **given)
    return path


def photograph(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def write_index(path, ids):
    """A palette PNG as GTA5's: the index is the raw id, the palette holds the class's colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(ids, np.uint8))
    image.putpalette(labels.gta5_palette())
    image.save(path)
    return path


def write_png(path, rows, width, bits, colour_type):
    """A PNG made by hand of packed rows, for packings that Pillow does not write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    return path


def write_synthia(path, ids):
    """16 bits, three channels: id in the red one, instance in the green one, as the data set's own files."""
    values = np.zeros((*np.shape(ids), 3), ">u2")
    values[..., 0] = ids
    values[..., 1] = 700 + np.arange(values[..., 1].size).reshape(np.shape(ids))
    return write_png(path, [row.tobytes() for row in values], values.shape[1], 16, 2)


def write_gta5(root, count=3, size=(40, 80)):
    for i in range(1, count + 1):
        write(root / "images" / f"{i:05d}.png", photograph(size, i))
        write_index(root / "labels" / f"{i:05d}.png", np.full(size, 6 + i))
    return root


def write_folder(root, classes=None, count=2, ids=0):
    for i in range(count):
        write(root / "images" / f"{i}.png", photograph((8, 8), i))
        write(root / "labels" / f"{i}.png", np.full((8, 8), ids, np.uint8))
    (root / "classes.json").write_text(json.dumps({"0": "sky", "1": "street"} if classes is None else classes))
    return root


def refusal(call, *args, **given):
    with pytest.raises(datasets.DataError) as caught:
        call(*args, **given)
    return str(caught.value)


# The formats, as their data sets distribute them


def test_keywords_of_open_domain_are_the_section_of_the_settings():
    keywords = list(inspect.signature(datasets.open_domain).parameters)
    assert keywords == ["classes", *config.Domain.model_fields, "require_labels"]


def test_gta5_label_is_the_palette_index(tmp_path):
    ids = np.arange(35, dtype=np.uint8).repeat(2).reshape(7, 10)
    assert np.array_equal(files.read_label(write_index(tmp_path / "1.png", ids), "gta5"), ids)
    few = np.array([[7, 8], [11, 7]], np.uint8)  # Pillow packs 12 colours in 4 bits
    image = Image.fromarray(few)
    image.putpalette(labels.gta5_palette()[:36])
    image.save(tmp_path / "2.png", bits=4)
    assert np.array_equal(files.read_label(tmp_path / "2.png", "gta5"), few)


def test_gta5_sizes_vary(tmp_path):
    for name, size in (("00001", (1052, 1914)), ("00002", (1046, 1914))):
        write(tmp_path / "images" / f"{name}.png", np.zeros((*size, 3), np.uint8), compress_level=1)
        write_index(tmp_path / "labels" / f"{name}.png", np.full(size, 7))
    domain = open_domain("gta5", tmp_path)
    assert names(domain) == ["00001", "00002"]
    assert datasets.check({"source": domain})["source"] == {(1052, 1914): 1, (1046, 1914): 1}


def test_synthia_label_is_the_low_byte_of_the_red_channel(tmp_path):
    ids = np.arange(23 * 4, dtype=np.uint8).reshape(4, 23) % 23
    file = write_synthia(tmp_path / "GT" / "LABELS" / "0000000.png", ids)
    write(tmp_path / "RGB" / "0000000.png", photograph(ids.shape))
    assert np.asarray(Image.open(file))[..., 0].max() == 0  # what Pillow reads by itself
    assert np.array_equal(files.read_label(file, "synthia"), ids)
    domain = open_domain("synthia", tmp_path)
    assert names(domain) == ["0000000"]
    assert domain.table[[3, 1, 0, 19, 22]].tolist() == [ROAD, SKY, 255, CLASSES.index("bus"), 255]
    datasets.check({"source": domain})


def test_cityscapes_trees(tmp_path):
    stems = ["aachen/aachen_000000_000019", "ulm/ulm_000001_000019"]
    for stem in stems:
        write(tmp_path / "leftImg8bit/train" / f"{stem}_leftImg8bit.png", photograph((4, 4)))
        write(tmp_path / "gtFine/train" / f"{stem}_gtFine_labelIds.png", np.array([[7, 8, 0, 255]] * 4, np.uint8))
        write(tmp_path / "gtFine/train" / f"{stem}_gtFine_instanceIds.png", np.zeros((4, 4), np.uint16))
        write(tmp_path / "gtFine/train" / f"{stem}_gtFine_color.png", photograph((4, 4)))
    domain = open_domain("cityscapes", tmp_path)
    assert names(domain) == stems
    raw = files.read_label(domain.pairs[0].label, "cityscapes")
    assert domain.table[raw][0].tolist() == [ROAD, SIDEWALK, 255, 255]
    datasets.check({"validation": domain})
    assert str(tmp_path / "leftImg8bit" / "val") in refusal(open_domain, "cityscapes", tmp_path, split="val")


@pytest.mark.parametrize(("image", "label"), [("train", "trainannot"), ("train/images", "train/labels")])
def test_camvid_layouts(tmp_path, image, label):
    write(tmp_path / image / "0001TP_006690.png", photograph((2, 4)))
    write(tmp_path / label / "0001TP_006690.png", np.array([[0, 2, 3, 11]] * 2, np.uint8))
    domain = open_domain("camvid", tmp_path)
    assert names(domain) == ["0001TP_006690"]
    assert domain.table[files.read_label(domain.pairs[0].label, "camvid")][0].tolist() == [SKY, POLE, ROAD, 255]
    datasets.check({"validation": domain})


def test_folder_takes_names_mapping_and_images_of_any_kind(tmp_path):
    for name in ("a.jpg", "b.JPEG", "deep/c.webp", "d.bmp", "e.png"):
        write(tmp_path / "photos" / name, photograph((8, 8)))
        write(tmp_path / "ids" / Path(name).with_suffix(".png"), np.zeros((8, 8), np.uint16))
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "names.json").write_text(json.dumps({"0": "sky", "1": "street", "300": "post", "4": "auto", "5": None}))
    (tmp_path / "map.json").write_text(json.dumps({"street": "road", "post": POLE, "auto": None}))
    domain = open_domain(
        "folder",
        tmp_path,
        images="photos",
        labels="ids",
        class_file=str(tmp_path / "names.json"),
        mapping=str(tmp_path / "map.json"),
    )
    assert names(domain) == ["a", "b", "d", "deep/c", "e"]
    assert domain.table[[0, 1, 300, 4, 5, 2]].tolist() == [SKY, ROAD, POLE, 255, 255, labels.OUTSIDE]
    datasets.check({"source": domain})


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


# Subsets


def test_labelled_subsets_are_seeded_and_nested(tmp_path):
    domain = open_domain("gta5", write_gta5(tmp_path, 12, (1, 1)))
    draws = {(n, seed): names(datasets.labelled_subset(domain, n, seed, None)) for n in (1, 5, 8) for seed in (0, 1)}
    assert set(draws[1, 0]) < set(draws[5, 0]) < set(draws[8, 0])
    assert draws[5, 0] != draws[5, 1]
    assert draws[5, 0] == sorted(draws[5, 0])
    # The first five of `printf 0:00001 | sha256sum` and so on, sorted.
    assert draws[5, 0] == ["00003", "00005", "00008", "00010", "00012"]
    assert datasets.labelled_subset(domain, "all", 0, None).pairs == domain.pairs
    assert "from 1 to 12" in refusal(datasets.labelled_subset, domain, 13, 0, None)


def test_list_file_wins(tmp_path):
    write_gta5(tmp_path / "g", 4, (1, 1))
    file = tmp_path / "list.txt"
    file.write_text("00003\n\n00001\n")
    domain = open_domain("gta5", tmp_path / "g")
    assert names(datasets.labelled_subset(domain, 3, 0, str(file))) == ["00001", "00003"]
    assert names(open_domain("gta5", tmp_path / "g", list=str(file))) == ["00001", "00003"]
    file.write_text("00001\n00009\n")
    assert refusal(datasets.labelled_subset, domain, 3, 0, str(file)).startswith(f"{file}: ")
    assert "00009" in refusal(open_domain, "gta5", tmp_path / "g", list=str(file))
    assert "gone.txt" in refusal(open_domain, "gta5", tmp_path / "g", list=str(tmp_path / "gone.txt"))


def test_unlabelled_photographs_serve_as_unlabelled_target_only(tmp_path):
    write_gta5(tmp_path, 4, (1, 1))
    (tmp_path / "labels" / "00002.png").unlink()
    target = {**section("gta5", tmp_path), "labelled": 3, "labelled_seed": 0, "labelled_list": None}
    roles = datasets.open_roles(CLASSES, None, target, None, True, True)
    assert list(roles) == ["labelled", "unlabelled"]
    assert names(roles["labelled"]) == ["00001", "00003", "00004"]
    assert names(roles["unlabelled"]) == ["00001", "00002", "00003", "00004"]
    assert {pair.label for pair in roles["unlabelled"].pairs} == {None}
    assert datasets.check(roles)["unlabelled"] == {(1, 1): 4}
    message = refusal(datasets.open_roles, CLASSES, None, {**target, "labelled": "all"}, None, True, True)
    assert str(tmp_path / "images" / "00002.png") in message
    listing = tmp_path / "list.txt"
    listing.write_text("00002")
    message = refusal(datasets.open_roles, CLASSES, None, {**target, "labelled_list": str(listing)}, None, True, True)
    assert str(tmp_path / "images" / "00002.png") in message
    for file in (tmp_path / "labels").iterdir():
        file.unlink()
    (tmp_path / "labels").rmdir()
    assert list(datasets.open_roles(CLASSES, None, target, None, False, True)) == ["unlabelled"]


# Errors, each named by file


def test_missing_folders_images_and_labels_are_named(tmp_path):
    gone = tmp_path / "gone"
    assert refusal(open_domain, "gta5", gone) == f"{gone}: no such folder."
    root = write_gta5(tmp_path / "g")
    (root / "labels" / "00002.png").unlink()
    message = refusal(open_domain, "gta5", root)
    assert str(root / "images" / "00002.png") in message
    assert str(root / "labels" / "00002.png") in message
    (tmp_path / "empty" / "images").mkdir(parents=True)
    assert refusal(open_domain, "gta5", tmp_path / "empty").startswith(
        f"{tmp_path / 'empty' / 'images'}: holds no image"
    )
    assert refusal(open_domain, "synthia", root) == f"{root / 'RGB'}: no such folder."
    double = write_folder(tmp_path / "double")
    write(double / "images" / "1.jpg", photograph((8, 8)))
    assert "has the same name" in refusal(open_domain, "folder", double)


@pytest.mark.parametrize(
    ("classes", "mapping", "reason"),
    [
        ({"0": "sky", "first": "road"}, None, "classes.json: an id must be an integer from 0 to 65535. Received: f"),
        ({"0": "sky", "65536": "road"}, None, "Received: 65536."),
        ({"0": "sky", "1": 7}, None, "classes.json: the name of id 1 must be a string or null. Received: 7."),
        (["sky"], None, "classes.json: the file must hold a JSON object. Received: list."),
        ({"0": "heaven"}, None, "classes.json: some name must be one of classes"),
        ({"0": "sky"}, {"ski": "sky"}, "map.json: a key must be a class of"),
        ({"0": "sky"}, {"sky": "heaven"}, "map.json: sky must map to a name in classes, a train id from 0 to 18, or"),
        ({"0": "sky"}, {"sky": 19}, "Received: 19."),
        ({"0": "sky"}, {"sky": True}, "Received: true."),
        ({"0": "sky"}, {"sky": ["sky"]}, 'Received: ["sky"].'),
    ],
)  # fmt: skip
def test_unusable_class_and_mapping_files_are_named(tmp_path, classes, mapping, reason):
    write_folder(tmp_path, classes)
    given = {}
    if mapping is not None:
        (tmp_path / "map.json").write_text(json.dumps(mapping))
        given["mapping"] = str(tmp_path / "map.json")
    assert reason in refusal(open_domain, "folder", tmp_path, **given)


def test_broken_and_missing_json_files_are_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "classes.json").write_text("{")
    assert "classes.json: no valid JSON" in refusal(open_domain, "folder", tmp_path)
    assert "gone.json" in refusal(open_domain, "folder", tmp_path, class_file=str(tmp_path / "gone.json"))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ("file", "spoil", "reason"),
    [
        ("images/00002.png", truncate, "cannot be decoded"),
        ("labels/00002.png", truncate, "cannot be decoded"),
        ("images/00002.png", lambda path: path.write_bytes(b""), "cannot be decoded"),
        ("images/00002.png", lambda path: path.unlink(), "No such file"),
        ("images/00002.png", lambda path: write(path, np.zeros((40, 80), np.uint16)), "8 bits a channel"),
        ("labels/00002.png", lambda path: write_index(path, np.full((40, 79), 7)), "Received: 40 x 79."),
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


# The command line


@pytest.fixture
def settings(tmp_path):
    write_gta5(tmp_path / "g", 4)
    target = {"dataset": "gta5", "root": str(tmp_path / "g"), "size": [32, 64], "labelled": 2}
    source = {key: target[key] for key in ("dataset", "root", "size")}
    model = {"backbone": "tiny", "weights": None}
    text = json.dumps({"method": "csa", "source": source, "target": target, "validation": source, "model": model})
    (tmp_path / "run.json").write_text(text)
    return tmp_path / "run.json"


def test_command_checks_and_describes_the_data(settings):
    command = [sys.executable, "-m", "ass_tf.datasets", str(settings)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["unlabelled", "4", "0", "40", "x", "80:", "4"] in lines
    assert ["labelled", "2", "2", "40", "x", "80:", "2"] in lines
    assert ["share", "of", "pixels", "source", "labelled", "validation"] in lines
    assert ["road", "25.00%", *next(line for line in lines if line[:1] == ["road"])[2:]] in lines  # raw ids 7 to 10
    assert "4 of 4" in done.stderr


@pytest.mark.parametrize(("role", "count"), [("source", 4), ("target", 4), ("labelled", 2), ("validation", 4)])
def test_command_lists_names_that_serve_as_a_list_file(settings, capsys, tmp_path, role, count):
    assert datasets.main([str(settings), "--list", role]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == count
    (tmp_path / "list.txt").write_text(printed)
    assert names(open_domain("gta5", tmp_path / "g", list=str(tmp_path / "list.txt"))) == printed.split()


def test_command_reports_errors_by_line_and_status(settings, capsys, tmp_path):
    assert datasets.main([str(settings), "--set", "source.sise=[32,32]"]) == 2
    assert datasets.main([str(settings), "--set", "validation=null", "--list", "validation"]) == 1
    assert datasets.main([str(settings), "--set", f"source.root={tmp_path}/gone"]) == 1
    truncate(tmp_path / "g/images/00001.png")
    truncate(tmp_path / "g/images/00004.png")
    capsys.readouterr()
    assert datasets.main([str(settings)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [line.split(":")[1].strip()[-9:] for line in errors] == ["00001.png", "00004.png"]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")
def test_real_data_are_found_and_sound(tmp_path):
    camvid = open_domain("camvid", REAL / "camvid", split="val")
    few = datasets.labelled_subset(camvid, 10, 0, None)
    mapping = {"road line": "road", "unlabelled and sky": "sky", "pedestrian": "person"}
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    carla = open_domain("folder", REAL / "carla", mapping=str(tmp_path / "map.json"))
    drawn = datasets.labelled_subset(carla, 10, 0, None)
    assert (len(camvid.pairs), len(carla.pairs)) == (101, 479)
    sizes = datasets.check({"validation": few, "source": drawn})
    assert sizes == {"validation": {(360, 480): 10}, "source": {(498, 800): 10}}
