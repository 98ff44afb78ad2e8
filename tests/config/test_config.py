import json
import subprocess
import sys
from pathlib import Path

import pytest

from ass_tf import config
from ass_tf.config import ConfigError
from ass_tf.config import __main__ as config_command

ROOT = Path(__file__).parents[2]
SWEEPS = ("table1", "table2", "table3", "carla_camvid", "demo_table")
FILES = sorted(file for file in (ROOT / "configs").glob("*.json") if file.stem not in SWEEPS)
SECTIONS = ("batch", "augmentation", "model", "discriminators", "losses", "optimiser", "train")
LEAST = {
    "method": "csa",
    "source": {"dataset": "gta5", "root": "data/gta5", "size": [64, 128]},
    "target": {"dataset": "cityscapes", "root": "data/cityscapes", "size": [32, 64]},
}


def write(path, settings):
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def changed(key, value):
    """LEAST with one setting, given by its dotted name, replaced."""
    settings = json.loads(json.dumps(LEAST))
    *sections, name = key.split(".")
    section = settings
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = value
    return settings


def refusal(key, value):
    """The one line that refuses LEAST with this change."""
    with pytest.raises(ConfigError) as caught:
        config.from_dict(changed(key, value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "ass_tf.config", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


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
            {"source": {**LEAST["source"], "mapping": "m.json"}},
            'source.mapping must be null unless source.dataset is folder. Received: "m.json".',
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


def test_base_file_is_merged_beneath_section_by_section(tmp_path):
    (tmp_path / "below").mkdir()
    write(tmp_path / "below/c.json", {**LEAST, "optimiser": {"lr": 1.0, "momentum": 0.1, "power": 2.0}})
    write(tmp_path / "below/b.json", {"base": "c.json", "seed": 1, "optimiser": {"lr": 2.0, "momentum": 0.2}})
    file = write(tmp_path / "a.json", {"base": "below/b.json", "optimiser": {"lr": 3.0}})
    settings = config.load(file, ["optimiser.nesterov=false"])
    assert settings.optimiser.model_dump(include={"lr", "momentum", "power", "nesterov"}) == {
        "lr": 3.0,
        "momentum": 0.2,
        "power": 2.0,
        "nesterov": False,
    }
    assert (settings.seed, settings.method) == (1, "csa")


@pytest.mark.parametrize("length", [1, 2, 3])
def test_base_files_that_lead_back_are_refused_in_one_line(tmp_path, length):
    names = [f"{i}.json" for i in range(length)]
    for name, base in zip(names, names[1:] + names[:1]):
        write(tmp_path / name, {"base": base})
    with pytest.raises(ConfigError, match="base must not lead back to the file itself") as caught:
        config.load(tmp_path / names[0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no valid JSON"),
        ("[1]", "the file must hold a JSON object. Received: [1]."),
        ('{"base": 3}', "base must name a settings file. Received: 3."),
        ('{"base": "nowhere.json"}', "nowhere.json: No such file or directory."),
        ("\xff", "the file must be text in UTF-8. Received: 0xff as byte 0."),
        ('{"seed": 1, "seed": 2}', "no valid JSON: seed is there twice."),
        ("[" * 100_000, "no valid JSON: nested too deeply."),
        ("{}", "method must be given."),
    ],
)
def test_file_that_cannot_be_used_is_named_in_one_line(tmp_path, text, message):
    file = tmp_path / "a.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert str(caught.value).startswith(str(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


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


def test_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(LEAST), encoding="utf-8-sig")
    assert config.load(tmp_path / "a.json") == config.from_dict(LEAST)


def test_rubbish_is_not_replaced_by_what_changes_a_part_of_it(tmp_path):
    write(tmp_path / "a.json", {**LEAST, "losses": "rubbish"})
    with pytest.raises(ConfigError, match=r'losses must be an object\. Received: "rubbish"\.'):
        config.load(tmp_path / "a.json", ["losses.lambda_gadv=0.1"])


def test_base_whose_name_no_file_can_have_is_refused(tmp_path):
    write(tmp_path / "a.json", {"base": "b\0.json"})
    with pytest.raises(ConfigError, match="base must not hold control characters"):
        config.load(tmp_path / "a.json")


def test_empty_base_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.json: base must not be empty"):
        config.load(write(tmp_path / "a.json", {"base": ""}))


def with_adamw(**more):
    return {**LEAST, "optimiser": {"generator": "AdamW", "generator_options": {"weight_decay": 0.1}, **more}}


def test_another_optimiser_does_not_inherit_options(tmp_path):
    write(tmp_path / "a.json", with_adamw())
    lion = {"base": "a.json", "optimiser": {"generator": "Lion", "generator_options": {"beta_1": 0.8}}}
    assert config.load(write(tmp_path / "b.json", lion)).optimiser.generator_options == {"beta_1": 0.8}
    bare = {"base": "a.json", "optimiser": {"generator": "Lion"}}
    assert config.load(write(tmp_path / "c.json", bare)).optimiser.generator_options == {}
    words = ['optimiser.generator_options={"beta_1": 0.8}', "optimiser.generator=Lion"]
    for order in (words, words[::-1]):
        assert config.load(tmp_path / "a.json", order).optimiser.generator_options == {"beta_1": 0.8}


def test_the_same_optimiser_inherits_options(tmp_path):
    write(tmp_path / "a.json", with_adamw())
    more = {"base": "a.json", "optimiser": {"generator": "AdamW", "generator_options": {"beta_1": 0.8}}}
    expected = {"weight_decay": 0.1, "beta_1": 0.8}
    assert config.load(write(tmp_path / "b.json", more)).optimiser.generator_options == expected
    assert config.load(tmp_path / "a.json", ["optimiser.generator_options.beta_1=0.8"]).optimiser.generator_options == (
        expected
    )


def test_another_data_set_does_not_inherit_what_names_the_files_of_the_first(tmp_path):
    folder = {"dataset": "folder", "root": "carla", "size": [64, 64], "mapping": "m.json", "list": "l.txt"}
    write(tmp_path / "a.json", {**LEAST, "source": folder})
    other = config.load(write(tmp_path / "b.json", {"base": "a.json", "source": {"dataset": "gta5", "root": "gta"}}))
    assert (other.source.mapping, other.source.list, other.source.size) == (None, None, (64, 64))
    assert config.load(tmp_path / "a.json", ["source.dataset=gta5"]).source.mapping is None
    same = config.load(write(tmp_path / "c.json", {"base": "a.json", "source": {"dataset": "folder", "root": "x"}}))
    assert (same.source.mapping, same.source.list) == ("m.json", "l.txt")


def test_a_folder_may_bear_a_name_that_is_json(tmp_path):
    file = write(tmp_path / "a.json", LEAST)
    settings = config.load(file, ["source.root=2024", "target.root=[1]", "target.split=null", "model.weights=null"])
    assert (settings.source.root, settings.target.root, settings.target.split) == ("2024", "[1]", "null")
    assert settings.model.weights is None
    assert config.load(file, ['source.root="2024"']).source.root == "2024"


def test_files_that_belong_to_the_settings_are_relative_to_the_file_that_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("configs/maps/m.json", "configs/l.txt", "l.txt", "other/m.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = {"dataset": "folder", "root": "data", "size": [64, 64], "class_file": "other/m.json"}
    write(tmp_path / "configs/a.json", {**LEAST, "source": {**folder, "mapping": "maps/m.json", "list": "l.txt"}})
    write(tmp_path / "b.json", {"base": "configs/a.json", "source": {"list": "l.txt"}})
    (tmp_path / "configs/data").mkdir()
    found = config.load("configs/a.json").source
    assert (found.mapping, found.list, found.root) == ("configs/maps/m.json", "configs/l.txt", "data")
    assert found.class_file == "other/m.json"  # as earlier settings have it: in the working directory
    assert config.load("b.json").source.list == "l.txt"
    assert config.load(tmp_path / "configs/a.json") == config.load("configs/a.json")
    assert config.load("configs/a.json", ["source.mapping=l.txt"]).source.mapping == "l.txt"
    (tmp_path / "run/other").mkdir(parents=True)
    (tmp_path / "run/other/m.json").touch()
    (tmp_path / "run/config.json").write_text(config.dump(config.load("configs/a.json")))
    assert config.load_record("run/config.json") == config.load("configs/a.json")  # its paths are resolved


def test_settings_that_come_with_the_package_are_found_by_name_where_nothing_else_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config.find("gta_csa.json") == ROOT / "configs/gta_csa.json"
    assert config.find("maps/carla.json") == ROOT / "configs/maps/carla.json"
    assert config.load("gta_csa.json") == config.load(ROOT / "configs/gta_csa.json")  # and its base
    mapping = Path(config.load("carla_camvid_ga.json").source.mapping)
    assert mapping == ROOT / "configs/maps/carla.json"
    write(tmp_path / "gta_csa.json", LEAST)
    assert config.find("gta_csa.json") == Path("gta_csa.json")
    assert config.load("gta_csa.json") == config.from_dict(LEAST)


@pytest.mark.parametrize("name", ["../setup.py", "configs/gta_csa.json", "maps", "/gta_csa.json"])
def test_what_is_no_shipped_file_is_not_found_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"^{name}: No such file or directory"):
        config.load(name)


def test_a_name_that_is_found_nowhere_brings_the_names_that_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        config.load("gta.json")
    start, _, names = str(caught.value).partition("; with ass_tf come ")
    assert start == "gta.json: No such file or directory"
    assert names.strip(".").split(", ") == sorted(file.name for file in (ROOT / "configs").glob("*.json"))
    with pytest.raises(ConfigError, match=r"^here/gta\.json: No such file or directory\.$"):
        config.load("here/gta.json")


def test_a_base_that_is_not_next_to_the_file_is_a_shipped_one(tmp_path):
    (tmp_path / "mine.json").write_text('{"base": "gta_csa.json", "seed": 7}')
    assert config.load(tmp_path / "mine.json") == config.load(ROOT / "configs/gta_csa.json", ["seed=7"])
