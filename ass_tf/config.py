"""Settings from JSON files that state what differs from the defaults, overrides, and the record of a run.

The settings themselves are `schema`'s; whether the files they name exist is left to `datasets`. No TensorFlow here.

    python -m ass_tf.config --schema              the JSON schema of a settings file
    python -m ass_tf.config FILE [--set KEY=VALUE] the settings a file resolves to
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ass_tf import terminal
from ass_tf.schema import Config


class ConfigError(ValueError):
    """Settings that cannot be used; the message is one line that names the key."""


def _settings(section: Any = Config, above: str = "") -> Iterator[str]:
    """Dotted names of all settings, sections included."""
    for name, field in section.model_fields.items():
        yield above + name
        for option in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(option, "model_fields"):
                yield from _settings(option, f"{above}{name}.")


def from_dict(settings: dict[str, Any], origin: str = "") -> Config:
    """Settings from plain values; errors start with `origin`.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range or an impossible combination.
    """
    try:
        return Config.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        raise ConfigError(origin + terminal.explain(error.errors(), list(_settings()))) from None


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A settings file, completed from the file that its `base` names; `above` are those that led here."""
    if path.resolve() in above:
        raise ConfigError(f"{path}: base must not lead back to the file itself.")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: no valid JSON: {error}.") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: the file must hold a JSON object. Received: {json.dumps(settings)}.")
    if (base := settings.pop("base", None)) is None:
        return settings
    if not isinstance(base, str):
        raise ConfigError(f"{path}: base must name a settings file. Received: {json.dumps(base)}.")
    return _merge(_read(path.parent / base, (*above, path.resolve())), settings)


def _merge(below: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """`settings`, completed from `below`, section by section."""
    both = [k for k in settings if isinstance(settings[k], dict) and isinstance(below.get(k), dict)]
    return {**below, **settings, **{key: _merge(below[key], settings[key]) for key in both}}


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Settings of a JSON file, changed by `section.key=value` words.

    Args:
        path: the file. Its key `base` may name another file, relative to it, of which it states the differences.
        overrides: e.g. `optimiser.lr=1e-4`; the value is JSON, or a string where it is no valid JSON.

    Returns:
        config: Config.

    Raises:
        ConfigError: a file that cannot be read, or settings that cannot be used.
    """
    settings = _read(Path(path))
    for word in overrides:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set must be KEY=VALUE. Received: {word}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = _merge(settings, value)
    return from_dict(settings, f"{path}: ")


def dump(config: Config) -> str:
    """All settings as JSON text that `load` reads back equal."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.config", description="Show settings.")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("file", nargs="?", help="a settings file: print what it resolves to")
    wanted.add_argument("--schema", action="store_true", help="print the JSON schema of settings files")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.schema:
        schema = Config.model_json_schema()
        schema["properties"]["base"] = {"type": "string", "description": "Settings file that this one changes."}
        print(json.dumps(schema, indent=2))
        return 0
    try:
        print(dump(load(options.file, options.set)), end="")
    except ConfigError as error:
        return terminal.complain(error, 2)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
