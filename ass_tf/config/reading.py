"""Settings from JSON files that state what differs from the defaults, overrides, and the record of a run.

The settings themselves are in `schema`. Whether the files that they name exist is checked by `datasets`.

Relative paths follow one rule. Files that belong to the settings (`base`, `class_file`, `mapping`, `list`,
`labelled_list`, and the files of a sweep) are relative to the file that names them. `root` and `model.weights`, which
say where the data lie on this machine, and everything in `--set` are relative to the working directory. A run records
resolved paths. Version 0.1.0 had mappings and lists relative to the working directory: they are still found there.
A settings file or `base` that is not there under the name given is looked up in SHIPPED.

    python -m ass_tf.config --schema              the JSON schema of a settings file
    python -m ass_tf.config FILE [--set KEY=VALUE] the settings a file resolves to
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ass_tf.config.schema import Config
from ass_tf.system import storage, terminal

PACKAGE = Path(__file__).parents[1]
# The settings files that come with the package: inside it where it is installed, next to it in a checkout.
SHIPPED = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
BESIDE = ("class_file", "mapping", "list", "labelled_list")  # of a domain: files that belong to the settings
# What means something for one choice only, and is not inherited where the choice changes.
DEPENDANTS = {
    "dataset": ("class_file", "mapping", "images", "labels", "list", "labelled_list"),
    "generator": ("generator_options",),
    "discriminator": ("discriminator_options",),
}


class ConfigError(ValueError):
    """Settings that cannot be used; the message is one line that names the key."""


def _settings(section: Any = Config, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all settings, sections included, and their types."""
    for name, field in section.model_fields.items():
        yield above + name, field.annotation
        for option in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(option, "model_fields"):
                yield from _settings(option, f"{above}{name}.")


def from_dict(settings: dict[str, Any], origin: str = "") -> Config:
    """Settings from plain values; errors start with `origin`.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range or an impossible combination.

    Example:
        >>> domain = {"dataset": "gta5", "root": "GTA5", "size": [720, 1280]}
        >>> from_dict({"method": "joint", "source": domain, "target": domain}).train.steps
        150000
        >>> from_dict({"method": "joint", "source": domain, "target": domain, "sed": 1})
        Traceback (most recent call last):
        ass_tf.config.reading.ConfigError: sed is no setting; the nearest is seed. Received: 1.
    """
    try:
        return Config.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        raise ConfigError(origin + terminal.explain(error.errors(), [name for name, _ in _settings()])) from None


def find(name: str | Path) -> Path:
    """A settings file: the path as given where something is there, else the file of that name in SHIPPED.

    Args:
        name: a path, relative to the working directory or to SHIPPED.

    Returns:
        path: as given if nothing is there under either, so that who reads it says so.

    Raises:
        ConfigError: no file can have the name; or a name without a folder part is found nowhere.
    """
    storage.check_name(name, "a settings file's name", ConfigError)
    path = Path(name)
    if os.path.lexists(path) or path.is_absolute() or ".." in path.parts:
        return path
    if os.path.isfile(SHIPPED / path):
        return SHIPPED / path
    names = sorted(file.name for file in SHIPPED.glob("*.json"))
    if len(path.parts) == 1 and names:
        raise ConfigError(f"{path}: No such file or directory; with ass_tf come {', '.join(names)}.")
    return path


def beside(file: Path, value: str) -> str:
    """A path that belongs to the settings: relative to the file that names it if it exists there, else unchanged.

    Args:
        file: the file that names it.
        value: the path.

    Returns:
        path: relative to the working directory where it lies below it.
    """
    path = file.parent / value
    if not os.path.exists(path):
        return value
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def named(file: Path, name: str, key: str) -> Path:
    """A settings file that another one names: relative to that one, or the file of that name in SHIPPED.

    Args:
        file: the file that names it.
        name: as it stands there.
        key: where it stands, for the message.

    Raises:
        ConfigError: no file can have the name.
    """
    storage.check_name(name, f"{file}: {key}", ConfigError)
    path = file.parent / name
    return SHIPPED / name if not os.path.exists(path) and os.path.isfile(SHIPPED / name) else path


def with_paths(file: Path, section: dict[str, Any]) -> dict[str, Any]:
    """A domain's section with the paths in BESIDE as `beside` finds them."""
    found = {key: section[key] for key in BESIDE if isinstance(section.get(key), str)}
    return {**section, **{key: beside(file, value) for key, value in found.items()}}


def _read(path: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A settings file, completed from the file that its `base` names; `above` are those that led here."""
    storage.check_name(path, "a settings file's name", ConfigError)
    if (real := os.path.realpath(path)) in above:
        raise ConfigError(f"{path}: base must not lead back to the file itself.")
    settings = storage.read_json(path, ConfigError)
    base = settings.pop("base", None)
    if not isinstance(base, str | None):
        raise ConfigError(f"{path}: base must name a settings file. Received: {json.dumps(base)}.")
    for name in ("source", "target", "validation"):
        if isinstance(settings.get(name), dict):
            settings[name] = with_paths(path, settings[name])
    if base is None:
        return settings
    return merge(_read(named(path, base, "base"), (*above, real)), settings)


def merge(below: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """`settings`, completed from `below`, section by section.

    A section that makes another choice than `below`, of a data set say, does not inherit what depends on it.
    """
    for key, value in settings.items():
        if isinstance(value, dict) and not isinstance(below.get(key), dict | None):
            raise ConfigError(f"{key} must be an object. Received: {storage.shown(json.dumps(below[key]))}.")
    both = [k for k in settings if isinstance(settings[k], dict) and isinstance(below.get(k), dict)]
    changed = [k for k in DEPENDANTS if k in settings and k in below and settings[k] != below[k]]
    gone = {dependant for key in changed for dependant in DEPENDANTS[key]}
    kept = {key: value for key, value in below.items() if key not in gone}
    return {**kept, **settings, **{key: merge(below[key], settings[key]) for key in both if key not in gone}}


def _of_word(word: str) -> dict[str, Any]:
    """Nested settings of one `section.key=value`."""
    key, equals, text = word.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set must be KEY=VALUE. Received: {storage.shown(word)}.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    kind = dict(_settings()).get(key)
    if (kind is str and not isinstance(value, str)) or (kind == str | None and not isinstance(value, str | None)):
        value = text  # a folder may be called 2024
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _deepened(both: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`both` with the values of `more`, all of which hold."""
    inner = {
        key: _deepened(both[key], value)
        for key, value in more.items()
        if isinstance(value, dict) and isinstance(both.get(key), dict)
    }
    return {**both, **more, **inner}


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Settings of a JSON file, changed by `section.key=value` words.

    Args:
        path: the file, as `find` takes it. Its key `base` may name another file of which it states the differences.
        overrides: e.g. `optimiser.lr=1e-4`; the value is JSON, or a string where the setting is text or it is no JSON.

    Returns:
        config: Config.

    Raises:
        ConfigError: a file that cannot be read, or settings that cannot be used.
    """
    return _changed(_read(find(path)), overrides, f"{path}: ")


def load_record(path: str | Path, overrides: Sequence[str] = (), **sections: Any) -> Config:
    """Settings that a run has recorded, whose paths are resolved already; otherwise as `load`.

    Args:
        path: the run's config.json.
        overrides: as of `load`.
        sections: sections that are replaced as a whole, before the overrides.
    """
    origin = "" if overrides or sections else f"{path}: "
    return _changed({**storage.read_json(path, ConfigError), **sections}, overrides, origin)


def _changed(settings: dict[str, Any], overrides: Sequence[str], origin: str) -> Config:
    words: dict[str, Any] = {}
    for word in overrides:
        words = _deepened(words, _of_word(word))
    return from_dict(merge(settings, words), origin)


def differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, by dotted name, with the values of both; a section that one lacks counts as a whole."""
    return _differing(one.model_dump(mode="json"), other.model_dump(mode="json"), "")


def _differing(one: Any, other: Any, key: str) -> dict[str, tuple[Any, Any]]:
    if one == other:
        return {}
    if not (isinstance(one, dict) and isinstance(other, dict)) or key.endswith("_options"):
        return {key: (one, other)}
    found: dict[str, tuple[Any, Any]] = {}
    for name in dict.fromkeys([*one, *other]):
        found |= _differing(one.get(name), other.get(name), f"{key}.{name}" if key else name)
    return found


def dump(config: Config) -> str:
    """All settings as JSON text that `load` reads back equal."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"
