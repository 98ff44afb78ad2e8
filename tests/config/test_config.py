import json
from pathlib import Path

import pytest
from settings_files import LEAST, changed, refusal, run, write

from ass_tf import config
from ass_tf.config import ConfigError
from ass_tf.config import __main__ as config_command

ROOT = Path(__file__).parents[2]
SWEEPS = (
    "table1",
    "table2",
    "table3",
    "carla_camvid",
    "carla_camvid_better_table",
    "carla_camvid_ablations",
    "camvid11_table",
    "demo_table",
)
FILES = sorted(file for file in (ROOT / "configs").glob("*.json") if file.stem not in SWEEPS)
SECTIONS = ("batch", "augmentation", "model", "discriminators", "losses", "optimiser", "train")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_in_configs_loads_and_its_record_loads_back_equal(file, tmp_path):
    settings = config.load(file)
    record = tmp_path / "config.json"
    record.write_text(config.dump(settings))
    assert config.load(record) == settings
    assert config.dump(config.load(record)) == config.dump(settings)


@pytest.mark.parametrize("file", [f for f in FILES if f.stem != "paper"], ids=lambda file: file.stem)
def test_every_file_in_configs_states_only_what_differs_from_the_defaults(file):
    def repeated(stated, default, path=""):
        for key, value in stated.items():
            if isinstance(value, dict):
                yield from repeated(value, default.get(key) or {}, f"{path}{key}.")
            elif key in default and value == default[key]:
                yield path + key

    stated = json.loads(file.read_text())
    above = {}
    if "base" in stated:
        above = config.load(file.parent / stated.pop("base")).model_dump(mode="json")
    else:
        above = config.from_dict(LEAST).model_dump(mode="json")
        for key in LEAST:
            del above[key]
    assert list(repeated(stated, above)) == []


def test_record_holds_every_setting_with_its_value():
    record = json.loads(config.dump(config.from_dict(LEAST)))
    assert record["optimiser"]["lr"] == 2.5e-4
    assert record["target"]["labelled"] == "all"
    assert set(record) == set(config.Config.model_fields)


def test_settings_are_frozen():
    settings = config.from_dict(LEAST)
    for section, key in ((settings, "seed"), (settings.optimiser, "lr")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, key, 1)


def test_overrides_change_one_setting_each_and_keep_the_rest_of_their_section(tmp_path):
    file = write(tmp_path / "a.json", {**LEAST, "optimiser": {"momentum": 0.5}})
    words = ["optimiser.lr=1e-4", "model.rates=[6, 12]", "target.root=a=b", "seed=7", "target.labelled=50"]
    settings = config.load(file, words)
    assert (settings.optimiser.lr, settings.optimiser.momentum) == (1e-4, 0.5)
    assert (settings.model.rates, settings.seed) == ((6, 12), 7)
    assert (settings.target.root, settings.target.dataset, settings.target.labelled) == ("a=b", "cityscapes", 50)


def test_later_override_wins(tmp_path):
    file = write(tmp_path / "a.json", LEAST)
    assert config.load(file, ["seed=1", "seed=2"]).seed == 2


def test_override_by_null_removes_a_section(tmp_path):
    file = write(tmp_path / "a.json", {**LEAST, "validation": LEAST["source"]})
    assert config.load(file, ["validation=null"]).validation is None


@pytest.mark.parametrize("word", ["seed", "=3", "", "..=1", "train.=1"])
def test_override_without_key_or_value_is_refused(tmp_path, word):
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path / "a.json", LEAST), [word])
    assert str(caught.value) == f"--set must be KEY=VALUE. Received: {word}."


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sede", 1, "sede is no setting; the nearest is seed. Received: 1."),
        ("optimizer", {}, "optimizer is no setting; the nearest is optimiser. Received: {}."),
        (
            "optimiser.momentun",
            0.5,
            "optimiser.momentun is no setting; the nearest is optimiser.momentum. Received: 0.5.",
        ),
        ("target.label", "x", 'target.label is no setting; the nearest is target.labels. Received: "x".'),
        ("lr", 1e-4, "lr is no setting; the nearest is optimiser.lr. Received: 0.0001."),
        ("zzz", None, "zzz is no setting; the nearest is "),
        ("no-name", 1, "no-name is no setting; the nearest is "),
    ],
)
def test_unknown_key_is_named_with_its_nearest_neighbour_and_what_was_received(key, value, message):
    assert refusal(key, value).startswith(message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimiser.lr", "fast", 'optimiser.lr must be a valid number. Received: "fast".'),
        ("optimiser.lr", 0, "optimiser.lr must be greater than 0. Received: 0."),
        ("optimiser.lr", float("inf"), "optimiser.lr must be a finite number. Received: Infinity."),
        ("train.steps", 1.5, "train.steps must be a valid integer. Received: 1.5."),
        ("train.steps", "10", 'train.steps must be a valid integer. Received: "10".'),
        ("train.deterministic", 1, "train.deterministic must be a valid boolean. Received: 1."),
        ("seed", -1, "seed must be greater than or equal to 0. Received: -1."),
        ("seed", 2**32, "seed must be less than 4294967296. Received: 4294967296."),
        ("source", 5, "source must be an object. Received: 5."),
        ("source.size", [64, 31], "source.size.1 must be greater than or equal to 32. Received: 31."),
        ("source.size", [64], "source.size.1 must be given."),
        ("source.size", [64, 10**9], "source.size.1 must be less than or equal to 16384. Received: 1000000000."),
        ("batch.labelled", 10**12, "batch.labelled must be less than or equal to 4096. Received: 1000000000000."),
        ("validation", {"dataset": "gta5", "size": [64, 64]}, "validation.root must be given."),
        ("model.rates", [], "model.rates must have at least 1 item"),
        ("target.labelled", "few", "target.labelled must be a valid integer or be 'all'. Received: \"few\"."),
        ("classes", "city", "classes must be 'cityscapes19' or 'synthia16' or be a valid array. Received: \"city\"."),
        ("classes", ["road", 2], "classes.1 must be a valid string. Received: 2."),
        ("method", "cas", "method must be 'oracle', 'joint', 'ga', 'fcsa' or 'csa'. Received: \"cas\"."),
    ],
)
def test_wrong_type_or_range_is_named_with_the_rule_and_what_was_received(key, value, message):
    assert refusal(key, value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["road"]}, 'classes must name 2 to 250 different classes. Received: ["road"].'),
        ({"classes": ["road", "road"]}, 'classes must name 2 to 250 different classes. Received: ["road", "road"].'),
        (
            {"target": {**LEAST["target"], "labelled": 0}},
            "target.labelled must be at least 1 for method csa. Received: 0.",
        ),
        (
            {"model": {"backbone": "tiny"}},
            'model.weights must be null or a .safetensors file for the tiny backbone. Received: "imagenet".',
        ),
        (
            {"model": {"batch_norm": "frozen", "weights": None}},
            "model.weights must be given with batch_norm frozen, whose statistics they hold. Received: null.",
        ),
        (
            {"train": {"steps": 11}, "optimiser": {"decay_steps": 10}},
            "train.steps must not exceed optimiser.decay_steps 10. Received: 11.",
        ),
        (
            {"source": {**LEAST["source"], "class_file": "m.json"}},
            'source.class_file must be null unless source.dataset is folder. Received: "m.json".',
        ),
    ],
)
def test_impossible_combination_is_one_line_that_names_the_key_and_what_was_received(changes, message):
    with pytest.raises(ConfigError) as caught:
        config.from_dict({**LEAST, **changes})
    assert str(caught.value) == message


@pytest.mark.parametrize("method", ["joint", "ga"])
def test_methods_that_need_no_target_labels_take_none(method):
    settings = config.from_dict({**changed("target.labelled", 0), "method": method})
    assert settings.uses_labelled is False
    assert settings.uses_unlabelled is (method == "ga")


def test_list_of_labelled_images_replaces_their_number():
    settings = changed("target.labelled", 0)
    settings["target"]["labelled_list"] = "names.txt"
    assert config.from_dict(settings).uses_labelled


def test_schema_is_json_and_describes_every_key_of_every_section():
    done = run("--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    described = {"": schema, **schema["$defs"]}
    for name, section in described.items():
        for key, value in section["properties"].items():
            assert value.get("description"), f"{name}.{key}"
    assert set(schema["properties"]) == {*config.Config.model_fields, "base"}
    assert {"Domain", "Target", *(name.title() for name in SECTIONS)} <= set(described)


def test_command_prints_the_resolved_settings_with_status_0(tmp_path):
    file = write(tmp_path / "a.json", LEAST)
    done = run(file, "--set", "optimiser.lr=1e-4", "--set", "seed=3", "model.rates=[6]")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == config.dump(config.load(file, ["optimiser.lr=1e-4", "seed=3", "model.rates=[6]"]))


def test_command_tells_wrong_settings_in_one_line_with_status_2(tmp_path):
    file = write(tmp_path / "a.json", LEAST)
    done = run(file, "--set", "optimiser.momentun=0.5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {file}: optimiser.momentun is no setting; the nearest is optimiser.momentum. Received: 0.5.\n"
    )


@pytest.mark.parametrize("words", [[], ["--schema", "a.json"], ["--shema"]])
def test_command_refuses_words_that_ask_for_nothing_or_two_things(words, capsys):
    with pytest.raises(SystemExit) as caught:
        config_command.main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""
