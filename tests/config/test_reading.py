"""How settings files are found, completed from their bases, and read."""

import json
from pathlib import Path

import pytest
from settings_files import LEAST, with_adamw, write

from ass_tf import config
from ass_tf.config import ConfigError

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("name", ["loop.json", "a.json"])
def test_file_or_base_that_is_a_link_to_itself_is_named_in_one_line(tmp_path, name):
    (tmp_path / "loop.json").symlink_to("loop.json")
    write(tmp_path / "a.json", {"base": "loop.json"})
    with pytest.raises(ConfigError, match=r"loop\.json: Too many levels of symbolic links\.$"):
        config.load(tmp_path / name)


@pytest.mark.parametrize("key", ["mapping", "list"])
def test_file_with_a_name_that_no_disk_takes_is_left_to_the_check_of_the_data(tmp_path, key):
    file = write(tmp_path / "a.json", {**LEAST, "source": {**LEAST["source"], key: "n" * 300}})
    assert getattr(config.load(file).source, key) == "n" * 300


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (r'source.root="a\ud800"', "must be JSON that other programs can read: unexpected end of hex escape"),
        ('optimiser.generator_options={"a": [1]}', "generator_options.a must be a valid boolean or be a valid integer"),
    ],
)
def test_value_that_cannot_be_used_is_told_by_its_key(tmp_path, word, message):
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path / "a.json", with_adamw()), [word])
    assert message in str(caught.value)


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
