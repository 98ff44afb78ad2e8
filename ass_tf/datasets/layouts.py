"""How the files of a data set lie, by layout: gta5, synthia, cityscapes, camvid and a user's own folders.

Opening files and checking them is left to `files`, which part of a domain serves for what to `datasets`.
"""

from __future__ import annotations

import difflib
import itertools
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ass_tf import labels
from ass_tf.datasets.files import DataError, Domain, Pair
from ass_tf.system import storage, terminal
from street_inference import images

PHOTOGRAPHS = images.SUFFIXES
LOOKED_AT = 1000  # names among which the nearest one is sought


def _folder_table(classes: Sequence[str], class_file: Path, mapping: Path | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Raw id -> train id from a user's two JSON files, and the names there; arguments and errors as `open_domain`."""
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
    renamed: dict[str, str | None] = {}
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


def why_no_label(folder: Path | None, tail: str, name: str) -> str:
    """What was looked for where none of a domain's images has a label, and what there is, for an image's name."""
    if folder is None or not folder.is_dir():
        return f"{folder}: no such folder; labels named *{tail} were looked for there."
    there = list(itertools.islice(walk(folder), LOOKED_AT))
    near = difflib.get_close_matches(name + tail, there, n=1, cutoff=0.0)
    instead = f"it holds {storage.shown(near[0])}, for example" if near else "it is empty"
    return f"{folder}: holds no label of an image; that of {name} would be {name}{tail}; {instead}."


def walk(folder: Path) -> Iterator[str]:
    """Files below a folder as posix paths relative to it; see `images.walk`."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")

    def refuse(path: Path, error: OSError) -> None:
        raise DataError(f"{path}: {error.strerror}.")

    for path in images.walk(folder, refuse):
        yield path.relative_to(folder).as_posix()


def composed(name: str) -> str:
    """A name as comparisons see it: some systems write an accent as a letter of its own."""
    return unicodedata.normalize("NFC", name)


def _by_name(folder: Path, tails: Sequence[str]) -> dict[str, tuple[str, Path]]:
    """Files below a folder whose names end in one of the tails, in any letter case: composed name -> name, path."""
    found: dict[str, tuple[str, Path]] = {}
    for file in walk(folder):
        tail = next((tail for tail in tails if file[-len(tail) :].lower() == tail.lower()), None)
        if tail is None:
            continue
        name, path = file[: -len(tail)], folder / file
        storage.check_name(file, f"{folder}: names of files", DataError)
        if (twin := found.get(composed(name))) is not None:
            raise DataError(f"{path}: {twin[1].name} has the same name.")
        found[composed(name)] = name, path
    return found


def _pairs(image_folder: Path, label_folder: Path, image_tails: Sequence[str], label_tail: str, require_labels: bool):
    """Pairs by name: an image's path below its folder without the tail; its label is that name with the other tail."""
    found = _by_name(image_folder, image_tails)
    if not found:
        raise DataError(f"{image_folder}: holds no image named *{' or *'.join(image_tails)}.")
    present = _by_name(label_folder, (label_tail,)) if label_folder.is_dir() else {}
    if require_labels and not found.keys() & present.keys():
        raise DataError(why_no_label(label_folder, label_tail, min(name for name, _ in found.values())))
    pairs = []
    for key, (name, image) in sorted(found.items(), key=lambda item: item[1][0]):
        label = present[key][1] if key in present else None
        if label is None and require_labels:
            raise DataError(f"{image}: its label {label_folder / (name + label_tail)} is missing.")
        pairs.append(Pair(name, image, label))
    return tuple(pairs)


def listed(pairs: Iterable[Pair], file: str) -> tuple[Pair, ...]:
    """The pairs that a list file names, by their names or those of their files."""
    pairs = tuple(pairs)
    known: dict[str, Pair] = {}
    for pair in pairs:
        tail = pair.image.name[len(pair.name.rpartition("/")[2]) :]
        known[composed(pair.name + tail)] = pair
    known |= {composed(pair.name): pair for pair in pairs}
    chosen = set()
    for line in storage.read_text(file, DataError).split("\n"):
        pair = known.get(composed(line)) or known.get(composed(line.strip()))
        if pair is not None:
            chosen.add(pair.name)
        elif line.strip():
            raise DataError(f"{file}: each line must name an image. Received: {storage.shown(line.strip())}.")
    if not chosen:
        raise DataError(f"{file}: each line must name an image. Received: an empty file.")
    return tuple(pair for pair in pairs if pair.name in chosen)


def open_domain(
    classes: Sequence[str],
    *,
    dataset: Literal["gta5", "synthia", "cityscapes", "camvid", "folder"],
    root: str,
    size: tuple[int, int],
    split: str,
    images: str,
    labels: str,
    class_file: str | None,
    mapping: str | None,
    list: str | None,
    require_labels: bool = True,
) -> Domain:
    """Finds a data set's files.

    Args:
        classes: the class set, in the order of the train ids.
        dataset, root, size, split, images, labels, class_file, mapping, list: as in `schema.Domain`.
        require_labels: whether each image must have a label; without, a label that is missing is None.

    Returns:
        domain: Domain.

    Raises:
        DataError: a folder, file or label is missing, or a JSON or list file cannot be used.
    """
    top = Path(root)
    if not top.is_dir():
        raise DataError(f"{top}: no such folder.")
    layout: tuple[Path, Path, Sequence[str], str]
    table, names = _table(classes, dataset, top, class_file, mapping)
    if dataset == "gta5":
        layout = top / "images", top / "labels", (".png",), ".png"
    elif dataset == "synthia":
        layout = top / "RGB", top / "GT/LABELS", (".png",), ".png"
    elif dataset == "cityscapes":
        layout = top / "leftImg8bit" / split, top / "gtFine" / split, ("_leftImg8bit.png",), "_gtFine_labelIds.png"
    elif dataset == "camvid" and not (top / split / "images").is_dir():  # as the SegNet tutorial has it
        layout = top / split, top / f"{split}annot", PHOTOGRAPHS, ".png"
    elif dataset == "camvid":
        layout = top / split / "images", top / split / "labels", PHOTOGRAPHS, ".png"
    else:
        layout = top / images, top / labels, PHOTOGRAPHS, ".png"
    pairs = _pairs(*layout, require_labels and list is None)
    if list is not None:
        pairs = listed(pairs, list)
        missing = next((pair for pair in pairs if pair.label is None), None)
        if require_labels and missing:
            raise DataError(f"{missing.image}: its label {layout[1] / (missing.name + layout[3])} is missing.")
    return Domain(pairs, table, (size[0], size[1]), dataset, names, layout[1], layout[3])


def open_photographs(folder: Path, size: tuple[int, int]) -> Domain:
    """All images of a folder, at any depth, without labels.

    Raises:
        DataError: it holds none.
    """
    names = sorted(name for name in walk(folder) if name.lower().endswith(PHOTOGRAPHS))
    for name in names:
        storage.check_name(name, f"{folder}: names of files", DataError)
    if not names:
        raise DataError(f"{folder}: holds no image named *{' or *'.join(PHOTOGRAPHS)}.")
    pairs = tuple(Pair(name, folder / name, None) for name in names)
    return Domain(pairs, np.full(65536, labels.IGNORE, np.uint8), size, "folder")


def _table(
    classes: Sequence[str], dataset: str, root: Path, class_file: str | None, mapping: str | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if dataset == "folder":
        return _folder_table(classes, Path(class_file or root / "classes.json"), Path(mapping) if mapping else None)
    raw = labels.raw_names(dataset)
    table, names = labels.lookup_table(raw, classes), tuple(dict.fromkeys(name for name in raw.values() if name))
    if not (table < len(classes)).any():
        raise DataError(f"{root}: classes must name some class of {dataset}. Received: {terminal.some(classes)}.")
    return table, names
