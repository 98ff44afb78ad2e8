"""From raw label ids to train ids: a data set's own table, or a user's class file and mapping."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ass_tf import labels
from ass_tf.config import schema
from ass_tf.config.layouts import LAYOUTS, Layout
from ass_tf.datasets.domain import DataError
from ass_tf.system import storage, terminal

Table = tuple[np.ndarray, tuple[str, ...], labels.ColourTable | None]
REST = "*"  # key of a class file: all colours that it does not list


def table_of(classes: Sequence[str], section: schema.Domain) -> Table:
    """What a data set's ids mean.

    Args:
        classes: the class set, in the order of the train ids.
        section: of the settings.

    Returns:
        table: uint8 (65536,), raw id -> train id, as `labels.lookup_table` makes it.
        names: of the classes that the data set's labels have.
        colours: ColourTable of labels that hold colours, else None.

    Raises:
        DataError: no id stands for one of `classes`, or a user's JSON file cannot be used.
    """
    layout = LAYOUTS[section.dataset]
    class_file = Path(section.class_file or Path(section.root) / "classes.json")
    raw, colours = _of_file(class_file) if layout.of_user else _of_layout(layout)
    names = tuple(dict.fromkeys(name for meaning in raw.values() for name in labels.names_of(meaning)))
    origin = str(class_file) if layout.of_user else section.dataset
    renamed = _renamed(Path(section.mapping), names, classes, origin) if section.mapping else {}
    table = labels.lookup_table({raw_id: _mapped(meaning, renamed) for raw_id, meaning in raw.items()}, classes)
    if (table < len(classes)).any():
        return table, names, colours
    if layout.of_user:
        raise DataError(f"{class_file}: some name must be one of classes; `mapping` can say which. Received: none.")
    received = terminal.some(classes)
    raise DataError(f"{section.root}: classes must name some class of {section.dataset}. Received: {received}.")


def _of_layout(layout: Layout) -> tuple[Mapping[int, labels.Meaning], labels.ColourTable | None]:
    """Meaning of each raw id in a data set that has its own, and the colours whose positions are the raw ids."""
    if layout.colours is None:
        return layout.raw or {}, None
    return dict(enumerate(layout.colours.values())), labels.ColourTable(list(layout.colours))


def _of_file(class_file: Path) -> tuple[Mapping[int, labels.Meaning], labels.ColourTable | None]:
    """`_of_layout` of a user's class file."""
    content = storage.read_json(class_file, DataError)
    coloured = any(key.startswith("#") or isinstance(value, list) for key, value in content.items())
    return _coloured(content, class_file) if coloured else (_numbered(content, class_file), None)


def _renamed(mapping: Path, names: Sequence[str], classes: Sequence[str], origin: str) -> dict[str, str | None]:
    """A mapping file: name -> name in `classes`, or None.

    Args:
        mapping: the file.
        names: that the data set's labels have.
        classes: the class set.
        origin: whose names they are, for messages.
    """
    renamed: dict[str, str | None] = {}
    for name, to in storage.read_json(mapping, DataError).items():
        if name not in names:
            rule = f"a key must be a class of {origin}{nearest(name, names)}"
            raise DataError(f"{mapping}: {rule}. Received: {storage.shown(name)}.")
        if type(to) is int and 0 <= to < len(classes):
            to = classes[to]
        if to is not None and to not in classes:
            rule = f"must map to a name in classes, a train id from 0 to {len(classes) - 1}, or null"
            near = nearest(to, classes) if isinstance(to, str) else ""
            raise DataError(f"{mapping}: {name} {rule}{near}. Received: {storage.shown(json.dumps(to))}.")
        renamed[name] = to
    return renamed


def _mapped(meaning: labels.Meaning, renamed: Mapping[str, str | None]) -> tuple[str, ...]:
    """Names of a meaning up to the first that is renamed, which stands for what is wider, too."""
    kept: list[str] = []
    for name in labels.names_of(meaning):
        if name in renamed:
            return (*kept, *labels.names_of(renamed[name]))
        kept.append(name)
    return tuple(kept)


def _numbered(content: Mapping[str, Any], class_file: Path) -> dict[int, labels.Meaning]:
    """A class file of ids: raw id -> name."""
    raw: dict[int, labels.Meaning] = {}
    for key, name in content.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 6 and int(key) < 65536):
            rule = "an id must be an integer from 0 to 65535"
            raise DataError(f"{class_file}: {rule}. Received: {storage.shown(key)}.")
        if int(key) in raw:
            raise DataError(f"{class_file}: an id must be there once. Received: {int(key)} a second time, as {key}.")
        raw[int(key)] = _name(name, f"id {key}", class_file)
    return raw


def _name(name: Any, of: str, class_file: Path) -> str | None:
    if not isinstance(name, str | None):
        rule = f"the name of {of} must be a string or null"
        raise DataError(f"{class_file}: {rule}. Received: {storage.shown(json.dumps(name))}.")
    return name


def _coloured(content: Mapping[str, Any], class_file: Path) -> tuple[dict[int, labels.Meaning], labels.ColourTable]:
    """A class file of colours: raw id -> name, and the colours in the order of these ids.

    An entry is "#rrggbb": name, or name: [red, green, blue], or name: a list of such; "*": null ignores the rest.
    """
    found: dict[tuple[int, ...], str | None] = {}
    raw: dict[int, labels.Meaning] = {}
    for key, value in content.items():
        if key == REST:
            if value is not None:
                raise DataError(f'{class_file}: "*" must be null. Received: {storage.shown(json.dumps(value))}.')
            raw[labels.ColourTable.other] = None
            continue
        if re.fullmatch("#[0-9a-fA-F]{6}", key):
            entries = {tuple(bytes.fromhex(key[1:])): _name(value, key, class_file)}
        else:
            several = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
            if not all(_is_colour(colour) for colour in several):
                rule = f'{storage.shown(key)} must be "#rrggbb", or a name whose value is [red, green, blue], 0 to 255'
                raise DataError(f"{class_file}: {rule}. Received: {storage.shown(json.dumps(value))}.")
            entries = {tuple(colour): key for colour in several}
        for colour, name in entries.items():
            if found.setdefault(colour, name) != name:
                both = f"{found[colour]} and {name}"
                raise DataError(f"{class_file}: {labels.hexadecimal(colour)} must have one name. Received: {both}.")
    if len(found) >= labels.OUTSIDE:
        raise DataError(f"{class_file}: must list at most {labels.OUTSIDE - 1} colours. Received: {len(found)}.")
    raw |= enumerate(found.values())
    return raw, labels.ColourTable(list(found))


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(n) is int and 0 <= n <= 255 for n in value)


def nearest(name: str, names: Iterable[str]) -> str:
    """What a wrong name may have meant, for the middle of a message; empty where nothing is near."""
    spelled = {other.casefold(): other for other in names}
    near = difflib.get_close_matches(name.casefold(), spelled, n=1)
    return f" (the nearest is {spelled[near[0]]})" if near else ""
