"""Data sets in the formats in which they are published: files written exactly so are found, and their labels read."""

import json

import pytest
from file_formats import CLASSES, names, open_domain, refusal, roles, section, target
from published import PUBLISHED, bitmask, coloured, grey, indexed, red, save, write

from ass_tf import datasets, labels
from ass_tf.config import schema
from ass_tf.config.layouts import LAYOUTS
from ass_tf.datasets import __main__ as datasets_command
from ass_tf.datasets import decoding

pytestmark = pytest.mark.usefixtures("cache")


def train_ids(domain):
    """Of the first row of each label."""
    rows = []
    for pair in domain.pairs:
        label = decoding.open_label(pair.label, domain.dataset, domain.colours)
        rows.append(decoding.train_ids_of(label, domain, pair.label)[0].tolist())
    return rows


def expected(dataset, classes=CLASSES):
    return [labels.IGNORE if name is None else classes.index(name) for name in PUBLISHED[dataset].meaning.values()]


def test_every_layout_is_tested():
    assert PUBLISHED.keys() | {"gta5", "synthia", "cityscapes", "camvid", "folder"} == LAYOUTS.keys()


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_files_are_found_and_their_values_become_train_ids(tmp_path, dataset):
    files = PUBLISHED[dataset]
    domain = open_domain(dataset, write(tmp_path, dataset), split=files.split)
    assert [pair.image for pair in domain.pairs] == [tmp_path / files.image.format(number) for number in (1, 2)]
    assert [pair.label for pair in domain.pairs] == [tmp_path / files.label.format(number) for number in (1, 2)]
    assert train_ids(domain) == [expected(dataset)] * 2
    facts = datasets.check({"source": domain})["source"]
    assert facts.pixels.sum() == 4 * sum(name is not None for name in files.meaning.values())


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_another_value_is_refused_by_its_file_in_one_line(tmp_path, dataset):
    files = PUBLISHED[dataset]
    wrong = (1, 2, 3) if LAYOUTS[dataset].colours else 200
    write(tmp_path, dataset, 1)
    save(tmp_path / files.label.format(1), files.draw([*files.meaning][:-1] + [wrong]))
    message = refusal(datasets.check, {"source": open_domain(dataset, tmp_path, split=files.split)})
    rule = (
        f"a colour must be one of those of {dataset}" if LAYOUTS[dataset].colours else "an id must be in the class map"
    )
    assert message.startswith(f"{tmp_path / files.label.format(1)}: {rule}. Received: ")
    assert "#010203" in message or "[200]" in message
    assert "\n" not in message


def test_forms_of_earlier_releases_are_found(tmp_path):
    save(tmp_path / "v/training/images/a.jpg", grey([0]))
    save(tmp_path / "v/training/labels/a.png", indexed([13]))
    assert train_ids(open_domain("vistas", tmp_path / "v")) == [[0]]
    save(tmp_path / "b/seg/images/val/a-b.jpg", grey([0]))
    save(tmp_path / "b/seg/labels/val/a-b_train_id.png", grey([13]))
    bdd100k = open_domain("bdd100k", tmp_path / "b", split="val")
    assert (names(bdd100k), train_ids(bdd100k)) == (["a-b"], [[13]])


def test_both_versions_of_vistas_lie_side_by_side(tmp_path):
    save(tmp_path / "training/images/a.jpg", grey([0]))
    save(tmp_path / "training/v1.2/labels/a.png", indexed([13]))
    save(tmp_path / "training/v2.0/labels/a.png", indexed([61]))
    read = {
        dataset: train_ids(open_domain(dataset, tmp_path, split="training")) for dataset in ("vistas", "vistas_2.0")
    }
    assert read == {"vistas": [[CLASSES.index("road")]], "vistas_2.0": [[CLASSES.index("sky")]]}


def test_virtual_kitti_is_read_in_folders_of_the_archives_and_with_other_things_beside(tmp_path):
    frames = "Scene20/clone/frames"
    save(tmp_path / f"vkitti_2.0.3_rgb/{frames}/rgb/Camera_0/rgb_00007.jpg", grey([0]))
    save(tmp_path / f"vkitti_2.0.3_rgb/{frames}/rgb/Camera_1/rgb_00007.jpg", grey([0]))
    # As its page spells the folder.
    labelled = tmp_path / f"vkitti_2.0.3_classSegmentation/{frames}/classsegmentation"
    save(labelled / "Camera_0/classgt_00007.png", coloured([(100, 60, 100)]))
    save(labelled / "Camera_1/classgt_00007.png", coloured([(90, 200, 255)]))
    save(tmp_path / f"vkitti_2.0.3_depth/{frames}/depth/Camera_0/depth_00007.png", grey([0]))
    domain = open_domain("vkitti2", tmp_path)
    assert names(domain) == [f"{frames}/rgb/Camera_0/rgb_00007"]
    assert train_ids(domain) == [[CLASSES.index("road")]]
    (tmp_path / "list.txt").write_text(f"{frames}/rgb/Camera_0/rgb_00007.jpg\n")
    assert names(open_domain("vkitti2", tmp_path, list=str(tmp_path / "list.txt"))) == names(domain)


def test_folders_of_carla_and_camvid_can_be_named(tmp_path):
    save(tmp_path / "rgb/1.jpg", grey([0]))
    save(tmp_path / "seg/1.png", red([1]))
    assert train_ids(open_domain("carla", tmp_path, images="rgb", labels="seg")) == [[0]]
    save(tmp_path / "train/1.png", grey([0]))
    save(tmp_path / "train_labels/1_L.png", coloured([(128, 64, 128)]))
    camvid = open_domain("camvid_colours", tmp_path, images="train", labels="train_labels")
    assert train_ids(camvid) == [[0]]


def test_camvid_in_colours_has_the_11_classes_of_camvid_with_ids(tmp_path):
    classes = tuple(name for name in labels.CAMVID_RAW.values() if name)
    assert set(open_domain("camvid_colours", write(tmp_path, "camvid_colours"), classes).raw_names) == {
        *classes,
        "void",
    }
    save(tmp_path / "LabeledApproved_full/0001TP_000001_L.png", coloured([(0, 128, 192), (192, 0, 192)] * 5))
    first = train_ids(open_domain("camvid_colours", tmp_path, classes))[0]
    assert first == [classes.index("bicyclist")] * 10


def test_ids_of_carla_may_be_saved_alone_or_with_the_numbers_of_objects(tmp_path):
    for name, label in {"alone": grey([1]), "objects": bitmask([1])}.items():
        save(tmp_path / f"images/{name}.png", grey([0]))
        save(tmp_path / f"labels/{name}.png", label)
    assert train_ids(open_domain("carla", tmp_path)) == [[0], [0]]


def test_ids_and_colours_of_a_data_set_are_not_taken_for_each_other(tmp_path):
    write(tmp_path, "carla_colours", 1)
    message = refusal(datasets.check, {"source": open_domain("carla", tmp_path)})
    assert "an id must be in the class map. Received: [81, 100, 128, 145, 152, 157, 190]" in message
    save(tmp_path / "labels/000001.png", grey([1]))
    message = refusal(datasets.check, {"source": open_domain("carla_colours", tmp_path)})
    assert "a label must hold colours, those of carla_colours. Received: mode L." in message
    save(tmp_path / "training/image_2/1.png", grey([0]))
    save(tmp_path / "training/semantic/1.png", coloured([(128, 64, 128)]))
    message = refusal(datasets.check, {"source": open_domain("kitti", tmp_path)})
    assert "a label must hold class ids, not colours. Received: mode RGB." in message


def test_classes_beyond_those_of_cityscapes_go_by_name(tmp_path):
    classes = ("road", "lane marking", "van", "car", "tree", "vegetation")
    write(tmp_path / "v", "viper")
    viper = dict(zip(PUBLISHED["viper"].meaning, train_ids(open_domain("viper", tmp_path / "v", classes))[0]))
    assert [viper[raw_id] for raw_id in (3, 25, 24, 7, 8, 2)] == [0, 2, 3, 4, 5, labels.IGNORE]
    write(tmp_path / "c", "carla")
    carla = dict(zip(PUBLISHED["carla"].meaning, train_ids(open_domain("carla", tmp_path / "c", classes))[0]))
    assert [carla[raw_id] for raw_id in (1, 24)] == [0, 1]


def test_a_mapping_renames_the_classes_of_a_known_data_set(tmp_path):
    write(tmp_path, "carla_0.9.13")
    mapping = tmp_path / "m.json"
    # Before 0.9.10 the sky is not labelled.
    mapping.write_text(json.dumps({"unlabeled": "sky", "vehicle": "truck", "lane marking": None, "person": 12}))
    read = train_ids(open_domain("carla_0.9.13", tmp_path, mapping=str(mapping)))[0]
    by_id = dict(zip(PUBLISHED["carla_0.9.13"].meaning, read))
    assert [CLASSES[by_id[raw_id]] for raw_id in (0, 10, 7, 4)] == ["sky", "truck", "road", "rider"]
    assert by_id[6] == labels.IGNORE
    mapping.write_text('{"pedestrian": "person"}')
    message = refusal(open_domain, "carla_0.9.13", tmp_path, mapping=str(mapping))
    assert message == f"{mapping}: a key must be a class of carla_0.9.13. Received: pedestrian."
    mapping.write_text('{"road lines": "road"}')
    assert "(the nearest is road line)" in refusal(open_domain, "carla_0.9.13", tmp_path, mapping=str(mapping))


def test_what_is_missing_is_named_as_the_data_set_names_it(tmp_path):
    write(tmp_path, "urbansyn")
    (tmp_path / "ss/ss_0002.png").unlink()
    missing = f"{tmp_path / 'rgb/rgb_0002.png'}: its label {tmp_path / 'ss/ss_0002.png'} is missing"
    assert refusal(open_domain, "urbansyn", tmp_path) == f"{missing}."
    assert refusal(roles, CLASSES, target("urbansyn", tmp_path)).startswith(f"{missing}; target.labelled must be")
    (tmp_path / "ss/ss_0001.png").rename(tmp_path / "ss/ss_1.png")
    told = f"{tmp_path / 'ss'}: holds no label of an image; that of rgb_0001 would be ss_0001.png"
    assert refusal(open_domain, "urbansyn", tmp_path).startswith(told)
    assert refusal(roles, CLASSES, target("urbansyn", tmp_path)).startswith(told)
    message = refusal(open_domain, "vkitti2", tmp_path)
    assert message == f"{tmp_path}: holds no image named *rgb/Camera_0/rgb_*.jpg."
    assert refusal(open_domain, "kitti", tmp_path, split="val") == f"{tmp_path / 'val/image_2'}: no such folder."


def test_command_checks_a_run_on_published_data_sets(tmp_path, capsys):
    write(tmp_path / "vkitti", "vkitti2", 3)
    write(tmp_path / "camvid", "camvid_colours", 4)
    write(tmp_path / "carla", "carla")
    (tmp_path / "val.txt").write_text("0001TP_000004\n")
    domains = {
        "source": section("vkitti2", tmp_path / "vkitti"),
        "target": target("camvid_colours", tmp_path / "camvid", labelled=2),
        "validation": section("camvid_colours", tmp_path / "camvid", list=str(tmp_path / "val.txt")),
    }
    settings = {key: domain.model_dump(mode="json") for key, domain in domains.items()}
    settings |= {"method": "csa", "model": {"backbone": "tiny", "weights": None}}
    (tmp_path / "run.json").write_text(json.dumps(settings))
    assert datasets_command.main([str(tmp_path / "run.json")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["source", "3", "3", "2", "x", "9:", "3"] in lines
    assert ["labelled", "2", "2", "2", "x", "10:", "2"] in lines
    assert ["validation", "1", "1", "2", "x", "10:", "1"] in lines
    assert ["road", "11.11%", "20.00%", "20.00%"] in lines  # 1 of 9 values, 2 of 10
    words = ["--set", "source.dataset=carla", f"source.root={tmp_path / 'carla'}"]
    assert datasets_command.main([str(tmp_path / "run.json"), *words]) == 0
    assert ["road", "22.22%", "20.00%", "20.00%"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_settings_name_the_data_sets():
    assert set(schema.Domain.model_json_schema()["properties"]["dataset"]["enum"]) == set(LAYOUTS)
