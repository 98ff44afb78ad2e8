"""Which photograph each annotation belongs to."""

from __future__ import annotations

import collections
import os
from pathlib import Path

from ass_tf.annotations.photographs import Photographs, below, stored, suffix_of
from ass_tf.annotations.shapes import Annotated, Picture
from ass_tf.config.layouts import PHOTOGRAPHS
from ass_tf.datasets import DataError

# What is counted of whole photographs.
GONE = "annotations whose photograph is missing"
TWICE = "further annotations of a photograph that has some"
DAMAGED = "photographs that cannot be read"


def collect(annotated: Annotated, source: Path, folder: Path | None) -> Photographs:
    """The photographs that annotations may belong to.

    Args:
        annotated: Annotated.
        source: as `reading.read` takes it.
        folder: that the user names; None: they lie below the source, or where it says.

    Raises:
        DataError: there are none, and no file holds one.
    """
    if folder is not None:
        files, more = below(folder), list[Path]()
    else:
        root = _root(source)
        there = below(root)
        files = [file for file in there if not annotated.folder or annotated.folder in file.relative_to(root).parts]
        stated = (path for picture in annotated.pictures for path in _likely(picture, source))
        more = [path for path in stated if path.suffix.lower() in PHOTOGRAPHS and os.path.isfile(path)]
    if not (files or more) and not any(picture.embedded for picture in annotated.pictures):
        raise DataError(f"{folder or source}: holds no photographs; --images must name their folder.")
    return Photographs(files, more) if files else Photographs(more)


def _likely(picture: Picture, source: Path) -> list[Path]:
    """Where a picture's photograph is, if paths are still what they were."""
    above = picture.file.parent
    paths = _root(source) / picture.stated, above / picture.stated, above / Path(picture.stated).name
    return [Path(os.path.normpath(path)) for path in paths]


class Tally:
    """What is dropped of whole photographs, with examples."""

    def __init__(self, dropped: collections.Counter[str]) -> None:
        self.dropped = collections.Counter(dropped)
        self.examples: dict[str, list[str]] = {}

    def add(self, what: str, name: str) -> None:
        self.dropped[what] += 1
        self.examples.setdefault(what, []).append(name)


def match(annotated: Annotated, found: Photographs, source: Path, folder: Path, tally: Tally) -> dict[str, Picture]:
    """Name of a photograph -> what is said of it.

    Args:
        annotated: Annotated.
        found: the photographs; those that only an annotation file holds are added.
        source: as `reading.read` takes it.
        folder: gets the photographs that are added.
        tally: counts what belongs to none.
    """
    fits = [(found.find(one.stated, _likely(one, source), one.file), one) for one in annotated.pictures]
    matched: dict[str, Picture] = {}
    # Of several that fit one photograph, the best first: another may be of a photograph that is missing.
    for fit, picture in sorted(fits, key=lambda pair: pair[0][1] if pair[0] else (), reverse=True):
        if fit is not None:
            name = fit[0]
        elif picture.embedded is not None:
            name = _unpack(picture, found, source, folder)
        else:
            tally.add(GONE, picture.stated)
            continue
        if name in matched and picture.shapes:
            tally.add(TWICE, picture.stated)
        elif picture.shapes:
            matched[name] = picture
    return matched


def _unpack(picture: Picture, found: Photographs, source: Path, folder: Path) -> str:
    """Writes the photograph that an annotation file holds, under the file's own name, which it returns."""
    content = picture.embedded() if picture.embedded else b""
    name = picture.file.relative_to(_root(source)).with_suffix("").as_posix()
    if (twin := found.named(name)) is not None:
        raise DataError(f"{picture.file}: the photograph that it holds needs the name of {twin}.")
    try:
        stored(content)
    except DataError as error:
        raise DataError(f"{picture.file}: the image that it holds {error}") from None
    path = folder / f"{name}{suffix_of(content)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found.add(name, path)
    return name


def _root(source: Path) -> Path:
    return source if source.is_dir() else source.parent
