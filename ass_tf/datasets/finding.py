"""A data set's files found: pairs of image and label by their names, and lists of names."""

from __future__ import annotations

import difflib
import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ass_tf import labels
from ass_tf.config import schema
from ass_tf.config.layouts import LAYOUTS, PHOTOGRAPHS, Layout
from ass_tf.datasets.class_tables import table_of
from ass_tf.datasets.domain import DataError, Domain, Pair
from ass_tf.system import storage
from street_inference import images

LOOKED_AT = 1000  # names among which the nearest one is sought


def why_no_label(folder: Path | None, layout: Layout, name: str) -> str:
    """What was looked for where none of a domain's images has a label, and what there is, for an image's name."""
    tail = layout.label_tails[0]
    if folder is None or not folder.is_dir():
        return f"{folder}: no such folder; labels named *{tail} were looked for there."
    label = layout.label_of(name) + tail
    there = list(itertools.islice(walk(folder), LOOKED_AT))
    near = difflib.get_close_matches(label, there, n=1, cutoff=0.0)
    instead = f"it holds {storage.shown(near[0])}, for example" if near else "it is empty"
    return f"{folder}: holds no label of an image; that of {name} would be {label}; {instead}."


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
    """Files below a folder whose names end in one of the tails, in any letter case: composed name -> name, path.

    The name is without the tail, the longest of several that fit.
    """
    found: dict[str, tuple[str, Path]] = {}
    for file in walk(folder):
        ends = [tail for tail in tails if file[-len(tail) :].lower() == tail.lower()]
        if not ends:
            continue
        name, path = file[: -max(map(len, ends))], folder / file
        storage.check_name(file, f"{folder}: names of files", DataError)
        if (twin := found.get(composed(name))) is not None:
            raise DataError(f"{path}: {twin[1].name} has the same name.")
        found[composed(name)] = name, path
    return found


def _pairs(image_folder: Path, label_folder: Path, layout: Layout, require_labels: bool) -> tuple[Pair, ...]:
    """Pairs by name: an image's path below its folder without the tail; its label is that name with the other tail."""
    part = layout.within[0]
    images_there = [(name, path) for name, path in _by_name(image_folder, layout.image_tails).values() if part in name]
    if not images_there:
        some = " or ".join(f"*{part and part + '*'}{tail}" for tail in layout.image_tails)
        raise DataError(f"{image_folder}: holds no image named {some}.")

    def key_of(name: str) -> str:
        # Virtual KITTI 2 spells a folder differently on its page and in its archives.
        return composed(name).casefold() if part else composed(name)

    there = _by_name(label_folder, layout.label_tails) if label_folder.is_dir() else {}
    present = {key_of(name): path for name, path in there.values()}

    def label_of(name: str) -> Path | None:
        label = layout.label_of(name)
        if (found := present.get(key_of(label))) is not None:
            return found
        # A folder that several links lead to was read under one of their names.
        by_link = (label_folder / f"{label}{tail}" for tail in layout.label_tails)
        return next((path for path in by_link if os.path.isfile(path)), None)

    pairs = [Pair(name, image, label_of(name)) for name, image in sorted(images_there)]
    if require_labels and all(pair.label is None for pair in pairs):
        raise DataError(why_no_label(label_folder, layout, pairs[0].name))
    if require_labels and (missing := next((pair for pair in pairs if pair.label is None), None)):
        raise _missing(missing, label_folder, layout)
    return tuple(pairs)


def _form(root: Path, layout: Layout, section: schema.Domain) -> tuple[Path, Path]:
    """Folders of images and labels: those of the first form whose images are there, if possible with its labels.

    Raises:
        DataError: there is no folder of images.
    """
    split = layout.splits.get(section.split, section.split)
    given = {"split": split, "images": section.images, "labels": section.labels}
    forms = [(root / images.format(**given), root / labels.format(**given)) for images, labels in layout.folders]
    there = next((form for form in forms if form[0].is_dir()), None)
    if there is None:
        *others, last = dict.fromkeys(str(folder) for folder, _ in forms)
        raise DataError(f"{last}: no such folder{', nor ' if others else ''}{', '.join(others)}.")
    image_folder, label_folder = there
    alike = [other for folder, other in forms if folder == image_folder]
    return image_folder, next((folder for folder in alike if folder.is_dir()), label_folder)


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
        named = known.get(composed(line)) or known.get(composed(line.strip()))
        if named is not None:
            chosen.add(named.name)
        elif line.strip():
            raise DataError(f"{file}: each line must name an image. Received: {storage.shown(line.strip())}.")
    if not chosen:
        raise DataError(f"{file}: each line must name an image. Received: an empty file.")
    return tuple(pair for pair in pairs if pair.name in chosen)


def open_domain(classes: Sequence[str], section: schema.Domain, require_labels: bool = True) -> Domain:
    """Finds a data set's files.

    Args:
        classes: the class set, in the order of the train ids.
        section: of the settings.
        require_labels: whether each image must have a label; without, a label that is missing is None.

    Returns:
        domain: Domain.

    Raises:
        DataError: a folder, file or label is missing, or a JSON or list file cannot be used.
    """
    root, layout = Path(section.root), LAYOUTS[section.dataset]
    if not root.is_dir():
        raise DataError(f"{root}: no such folder.")
    table, names, colours = table_of(classes, section)
    image_folder, label_folder = _form(root, layout, section)
    pairs = _pairs(image_folder, label_folder, layout, require_labels and section.list is None)
    if section.list is not None:
        pairs = listed(pairs, section.list)
        missing = next((pair for pair in pairs if pair.label is None), None)
        if require_labels and missing:
            raise _missing(missing, label_folder, layout)
    size = section.size[0], section.size[1]
    return Domain(pairs, table, size, section.dataset, names, label_folder, colours)


def _missing(pair: Pair, label_folder: Path, layout: Layout) -> DataError:
    label = label_folder / (layout.label_of(pair.name) + layout.label_tails[0])
    return DataError(f"{pair.image}: its label {label} is missing.")


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
