"""From raw label ids to train ids: a data set's own table, or a user's class file and mapping."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ass_tf import labels
from ass_tf.config import schema
from ass_tf.config.layouts import LAYOUTS
from ass_tf.datasets.domain import DataError
from ass_tf.system import storage, terminal


def table_of(classes: Sequence[str], section: schema.Domain) -> tuple[np.ndarray, tuple[str, ...]]:
    """What a data set's ids mean.

    Args:
        classes: the class set, in the order of the train ids.
        section: of the settings.

    Returns:
        table: uint8 (65536,), raw id -> train id, as `labels.lookup_table` makes it.
        names: of the classes that the data set's labels have.

    Raises:
        DataError: no id stands for one of `classes`, or a user's JSON file cannot be used.
    """
    root, raw = Path(section.root), LAYOUTS[section.dataset].raw
    if raw is None:
        mapping = Path(section.mapping) if section.mapping else None
        return _of_user(classes, Path(section.class_file or root / "classes.json"), mapping)
    table, names = labels.lookup_table(raw, classes), tuple(dict.fromkeys(name for name in raw.values() if name))
    if not (table < len(classes)).any():
        received = terminal.some(classes)
        raise DataError(f"{root}: classes must name some class of {section.dataset}. Received: {received}.")
    return table, names


def _of_user(classes: Sequence[str], class_file: Path, mapping: Path | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """`table_of` from a user's two JSON files."""
    raw: dict[int, str | None] = {}
    for key, name in storage.read_json(class_file, DataError).items():
        if not (key.isascii() and key.isdecimal() and len(key) < 6 and int(key) < 65536):
            rule = "an id must be an integer from 0 to 65535"
            raise DataError(f"{class_file}: {rule}. Received: {storage.shown(key)}.")
        if not isinstance(name, str | None):
            rule = f"the name of id {key} must be a string or null"
            raise DataError(f"{class_file}: {rule}. Received: {storage.shown(json.dumps(name))}.")
        raw[int(key)] = name
    names = tuple(dict.fromkeys(name for name in raw.values() if name is not None))
    renamed: dict[str | None, str | None] = {}
    for name, to in (storage.read_json(mapping, DataError) if mapping else {}).items():
        if name not in names:
            rule = f"a key must be a class of {class_file}{nearest(name, names)}"
            raise DataError(f"{mapping}: {rule}. Received: {storage.shown(name)}.")
        if type(to) is int and 0 <= to < len(classes):
            to = classes[to]
        if to is not None and to not in classes:
            rule = f"must map to a name in classes, a train id from 0 to {len(classes) - 1}, or null"
            near = nearest(to, classes) if isinstance(to, str) else ""
            raise DataError(f"{mapping}: {name} {rule}{near}. Received: {storage.shown(json.dumps(to))}.")
        renamed[name] = to
    table = labels.lookup_table({raw_id: renamed.get(name, name) for raw_id, name in raw.items()}, classes)
    if not (table < len(classes)).any():
        raise DataError(f"{class_file}: some name must be one of classes; `mapping` can say which. Received: none.")
    return table, names


def nearest(name: str, names: Iterable[str]) -> str:
    """What a wrong name may have meant, for the middle of a message; empty where nothing is near."""
    spelled = {other.casefold(): other for other in names}
    near = difflib.get_close_matches(name.casefold(), spelled, n=1)
    return f" (the nearest is {spelled[near[0]]})" if near else ""
