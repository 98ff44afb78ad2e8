import dataclasses
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from file_formats import (
    CLASSES,
    POLE,
    ROAD,
    SIDEWALK,
    SKY,
    names,
    open_domain,
    photograph,
    refusal,
    roles,
    target,
    write,
    write_folder,
    write_gta5,
    write_index,
    write_synthia,
)
from PIL import Image

from ass_tf import datasets, labels
from ass_tf.datasets import decoding

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("cache")


# The formats, as their data sets distribute them


def test_gta5_label_is_the_palette_index(tmp_path):
    ids = np.arange(35, dtype=np.uint8).repeat(2).reshape(7, 10)
    assert np.array_equal(decoding.read_label(write_index(tmp_path / "1.png", ids), "gta5"), ids)
    few = np.array([[7, 8], [11, 7]], np.uint8)  # Pillow packs 12 colours in 4 bits
    image = Image.fromarray(few)
    image.putpalette(labels.gta5_palette()[:36])
    image.save(tmp_path / "2.png", bits=4)
    assert np.array_equal(decoding.read_label(tmp_path / "2.png", "gta5"), few)


def test_gta5_sizes_vary(tmp_path):
    for name, size in (("00001", (1052, 1914)), ("00002", (1046, 1914))):
        write(tmp_path / "images" / f"{name}.png", np.zeros((*size, 3), np.uint8), compress_level=1)
        write_index(tmp_path / "labels" / f"{name}.png", np.full(size, 7))
    domain = open_domain("gta5", tmp_path)
    assert names(domain) == ["00001", "00002"]
    assert datasets.check({"source": domain})["source"].sizes == {(1052, 1914): 1, (1046, 1914): 1}


def test_synthia_label_is_the_low_byte_of_the_red_channel(tmp_path):
    ids = np.arange(23 * 4, dtype=np.uint8).reshape(4, 23) % 23
    file = write_synthia(tmp_path / "GT" / "LABELS" / "0000000.png", ids)
    write(tmp_path / "RGB" / "0000000.png", photograph(ids.shape))
    assert np.asarray(Image.open(file))[..., 0].max() == 0  # what Pillow reads by itself
    assert np.array_equal(decoding.read_label(file, "synthia"), ids)
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
    raw = decoding.read_label(domain.pairs[0].label, "cityscapes")
    assert domain.table[raw][0].tolist() == [ROAD, SIDEWALK, 255, 255]
    datasets.check({"validation": domain})
    assert str(tmp_path / "leftImg8bit" / "val") in refusal(open_domain, "cityscapes", tmp_path, split="val")


@pytest.mark.parametrize(("image", "label"), [("train", "trainannot"), ("train/images", "train/labels")])
def test_camvid_layouts(tmp_path, image, label):
    write(tmp_path / image / "0001TP_006690.png", photograph((2, 4)))
    write(tmp_path / label / "0001TP_006690.png", np.array([[0, 2, 3, 11]] * 2, np.uint8))
    domain = open_domain("camvid", tmp_path)
    assert names(domain) == ["0001TP_006690"]
    assert domain.table[decoding.read_label(domain.pairs[0].label, "camvid")][0].tolist() == [SKY, POLE, ROAD, 255]
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
    message = refusal(open_domain, "camvid_colours", root, images="photos")
    assert message == f"{root / '701_StillsRaw_full'}: no such folder, nor {root / 'photos'}."
    double = write_folder(tmp_path / "double")
    write(double / "images" / "1.jpg", photograph((8, 8)))
    assert "has the same name" in refusal(open_domain, "folder", double)


@pytest.mark.parametrize(
    ("classes", "mapping", "reason"),
    [
        ({"0": "sky", "first": "road"}, None, "classes.json: an id must be an integer from 0 to 65535. Received: f"),
        ({"0": "sky", "65536": "road"}, None, "Received: 65536."),
        ({"0": "sky", "00": "road"}, None, "json: an id must be there once. Received: 0 a second time, as 00."),
        ({"0": "sky", "1": 7}, None, "classes.json: the name of id 1 must be a string or null. Received: 7."),
        (["sky"], None, "classes.json: the file must hold a JSON object. Received: [\"sky\"]."),
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


def folder_of(root, images=("f0.jpg",), labels=("f0.png",), names=("sky", "road")):
    for name in images:
        write(root / "images" / name, photograph((8, 8)))
    for name in labels:
        write_index(root / "labels" / name, np.ones((8, 8)))
    (root / "classes.json").write_text(json.dumps({str(i): name for i, name in enumerate(names)}))
    return root


@pytest.mark.parametrize("label", ["f0.PNG", "f0.Png", "für.png"])
def test_label_is_found_by_the_rule_of_its_image(tmp_path, label):
    stem = label[:-4]
    folder_of(tmp_path, [unicodedata.normalize("NFD", f"{stem}.JPG")], [unicodedata.normalize("NFC", label)])
    (pair,) = open_domain("folder", tmp_path, classes=("sky", "road")).pairs
    assert pair.label.name == label


def test_images_of_two_folders_may_share_labels_by_links(tmp_path):
    folder_of(tmp_path, ["left/f0.jpg", "right/f0.jpg"], ["both/f0.png"])
    for name in ("left", "right"):
        (tmp_path / "labels" / name).symlink_to("both")
    (tmp_path / "labels/both").rename(tmp_path / "both")
    (tmp_path / "labels/both").symlink_to(tmp_path / "both")
    labels = [pair.label for pair in open_domain("folder", tmp_path, classes=("sky", "road")).pairs]
    assert labels == [tmp_path / "labels" / name / "f0.png" for name in ("left", "right")]


def test_two_labels_for_one_image_are_refused(tmp_path):
    folder_of(tmp_path, labels=("f0.png", "f0.PNG"))
    assert "has the same name" in refusal(open_domain, "folder", tmp_path, classes=("sky", "road"))


def test_lists_are_read_as_editors_write_them(tmp_path):
    folder_of(tmp_path, ["a.jpg", "b.jpg", "ü.jpg", "end .jpg", "x\u2028y.jpg"], [])
    file = tmp_path / "l.txt"

    def listed(text, encoding="utf-8"):
        file.write_bytes(text.encode(encoding))
        opened = open_domain("folder", tmp_path, classes=("sky", "road"), require_labels=False, list=str(file))
        return names(opened)

    assert listed("a\r\nb\r\n", "utf-8-sig") == ["a", "b"]
    assert listed("b.jpg\na.jpg") == ["a", "b"]
    assert listed(unicodedata.normalize("NFD", "ü\n")) == ["ü"]
    assert listed("end \n  a  \n") == ["a", "end "]
    assert listed("x\u2028y\n") == ["x\u2028y"]
    file.write_bytes("a\u200b\n".encode())
    given = {"classes": ("sky", "road"), "require_labels": False, "list": str(file)}
    assert refusal(open_domain, "folder", tmp_path, **given).endswith("Received: a\\u200b.")
    file.write_bytes("a\n".encode("utf-16"))
    assert "must be text in UTF-8" in refusal(open_domain, "folder", tmp_path, **given)


def test_json_files_of_a_data_set_may_begin_with_a_byte_order_mark(tmp_path):
    folder_of(tmp_path)
    text = (tmp_path / "classes.json").read_text()
    (tmp_path / "classes.json").write_text(text, encoding="utf-8-sig")
    assert len(open_domain("folder", tmp_path, classes=("sky", "road")).pairs) == 1


def labelled_of(root, dataset="folder", classes=("sky", "road"), labelled=1, **given):
    return refusal(roles, classes, target(dataset, root, labelled=labelled, **given))


def test_labels_that_are_not_there_are_told_by_where_they_were_looked_for(tmp_path):
    folder_of(tmp_path)
    message = labelled_of(tmp_path, labels="label")
    assert message == f"{tmp_path / 'label'}: no such folder; labels named *.png were looked for there."
    assert refusal(open_domain, "folder", tmp_path, labels="label", classes=("sky", "road")) == message
    assert labelled_of(tmp_path, labelled=5) == (
        f"target.labelled must be from 1 to 1, the images with a label in {tmp_path / 'labels'}. Received: 5."
    )


def test_labels_of_another_name_are_told_by_what_there_is(tmp_path):
    image = tmp_path / "leftImg8bit/train/x/x_000000_000019_leftImg8bit.png"
    write(image, photograph((8, 8)))
    for kind in ("color", "instanceIds", "labelTrainIds"):
        write_index(tmp_path / f"gtFine/train/x/x_000000_000019_gtFine_{kind}.png", np.ones((8, 8)))
    message = labelled_of(tmp_path, "cityscapes", CLASSES)
    assert message == (
        f"{tmp_path / 'gtFine/train'}: holds no label of an image; that of x/x_000000_000019 would be "
        "x/x_000000_000019_gtFine_labelIds.png; it holds x/x_000000_000019_gtFine_labelTrainIds.png, for example."
    )
    assert refusal(open_domain, "cityscapes", tmp_path) == message  # where every image must have one


def test_classes_that_no_label_can_give_are_told_with_the_nearest_name(tmp_path):
    folder_of(tmp_path, names=("sky", "road", "car"))
    classes = ("sky", "raod", "car", "unicorn", "zebra")
    domain = open_domain("folder", tmp_path, classes=classes)
    assert datasets.unmatched({"source": domain}, classes) == [
        "source: no label can give the class raod (the nearest is road).",
        "source: no label can give unicorn, zebra.",
    ]
    unlabelled = open_domain("folder", tmp_path, classes=classes, require_labels=False)
    unlabelled = dataclasses.replace(unlabelled, pairs=(dataclasses.replace(unlabelled.pairs[0], label=None),))
    assert datasets.unmatched({"unlabelled": unlabelled}, classes) == []
    assert datasets.unmatched({"source": open_domain("folder", tmp_path, classes=("sky", "car"))}, ("sky", "car")) == []


def test_names_of_a_mapping_that_match_nothing_are_told_with_the_nearest(tmp_path):
    folder_of(tmp_path)
    mapping = tmp_path / "m.json"
    given = {"classes": ("sky", "road"), "mapping": str(mapping)}
    mapping.write_text('{"rode": "road"}')
    assert "(the nearest is road). Received: rode." in refusal(open_domain, "folder", tmp_path, **given)
    mapping.write_text('{"ROAD": "road"}')
    assert "(the nearest is road). Received: ROAD." in refusal(open_domain, "folder", tmp_path, **given)
    mapping.write_text('{"road": "rode"}')
    assert '(the nearest is road). Received: "rode".' in refusal(open_domain, "folder", tmp_path, **given)


def test_known_data_set_that_has_none_of_the_classes_is_refused(tmp_path):
    write_gta5(tmp_path, 1, (4, 8))
    message = refusal(open_domain, "gta5", tmp_path, classes=("raod", "himmel"))
    assert message == f"{tmp_path}: classes must name some class of gta5. Received: raod, himmel."


def test_names_that_a_list_cannot_hold_are_refused(tmp_path):
    folder_of(tmp_path)
    write(tmp_path / "images/a\nb.jpg", photograph((8, 8)))
    message = refusal(open_domain, "folder", tmp_path, classes=("sky", "road"), require_labels=False)
    assert message == f"{tmp_path / 'images'}: names of files must not hold control characters. Received: a\\nb.jpg."
