"""The photographs that annotations belong to: found by the names that the files state, and how they are turned."""

from __future__ import annotations

import io
import itertools
import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ass_tf.config.layouts import PHOTOGRAPHS
from ass_tf.datasets import DataError
from ass_tf.datasets.finding import composed, walk
from ass_tf.system import storage
from street_inference import images

UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
ORIENTATION = 0x0112  # of EXIF
WIDTH, HEIGHT = 256, 257  # of TIFF
MADE = ("classes.json", "labelled.txt", "images", "labels")  # what `writing.write` makes
Fit = tuple[float, bool, int]


class Stored(NamedTuple):
    """How a photograph is stored: its size (h, w) when it is upright, and the EXIF orientation that turns it."""

    size: tuple[int, int]
    orientation: int


def stored(file: Path | bytes) -> Stored:
    """How a photograph is stored, by its header.

    Args:
        file: a path, or the content.

    Raises:
        DataError: it is no image; the message is the reason, without the name.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=images.FORMATS) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            width, height = image.size
            if isinstance(image, TiffImageFile):  # whose size some versions of Pillow give upright
                width, height = int(image.tag_v2[WIDTH]), int(image.tag_v2[HEIGHT])
            across = orientation in images.ACROSS
            return Stored((width, height) if across else (height, width), orientation)
    except Exception as error:  # damaged files make Pillow raise errors of many kinds
        what = error.strerror if isinstance(error, OSError) else None
        raise DataError(f"{what or 'is no image of a known format, or is damaged'}.") from None


def suffix_of(content: bytes) -> str:
    """The suffix of a file with some content, which `stored` could read."""
    with Image.open(io.BytesIO(content), formats=images.FORMATS) as image:
        return SUFFIXES.get(image.format or "", ".png")


def files_below(folder: Path) -> list[Path]:
    """Files below a folder, without the data sets in it that earlier calls wrote; of one that it is, without labels.

    Raises:
        DataError: it cannot be read.
    """
    found = [folder / name for name in walk(folder)]
    made = {file.parent for file in found if file.name == MADE[0] and all((file.parent / n).exists() for n in MADE)}
    left_out = {place / "labels" if place == folder else place for place in made}
    return [file for file in found if left_out.isdisjoint(file.parents)]


def below(folder: Path) -> list[Path]:
    """The photographs among `files_below`."""
    return [file for file in files_below(folder) if file.name.lower().endswith(PHOTOGRAPHS)]


class Photographs:
    """Photographs by name: a path without a suffix, relative to the innermost folder that holds them all.

    Args:
        files: the photographs.
        more: some that may lie elsewhere, by their own names.

    Attributes:
        files: name -> path.

    Raises:
        DataError: two photographs differ by their suffix only, or a name cannot be used.
    """

    def __init__(self, files: Sequence[Path], more: Sequence[Path] = ()) -> None:
        self.files: dict[str, Path] = {}
        self._composed: dict[str, Path] = {}
        self._places: dict[Path, str] = {}
        self._by_key: dict[str, list[str]] = {}
        real = list(dict.fromkeys(file.absolute() for file in files))
        base = os.path.commonpath([file.parent for file in real]) if real else ""
        for file in real:
            self.add(file.relative_to(base).with_suffix("").as_posix(), file)
        for file in more:
            if file.resolve() not in self._places:
                self.add(file.stem, file)

    def add(self, name: str, path: Path) -> None:
        """Adds a photograph."""
        path = path.absolute()
        storage.check_name(name, f"{path.parent}: names of files", DataError)
        if (twin := self.named(name)) is not None:
            raise DataError(f"{path}: {twin} has the same name.")
        self.files[name] = path
        self._composed[composed(name)] = path
        self._places[path] = name
        self._places.setdefault(path.resolve(), name)  # where a link leads, unless that is a photograph of its own
        for key in {_key(path.name), _key(path.stem)}:
            self._by_key.setdefault(key, []).append(name)

    def named(self, name: str) -> Path | None:
        """The photograph that has a name, however its accents are written."""
        return self._composed.get(composed(name))

    def find(self, stated: str, likely: Sequence[Path], beside: Path) -> tuple[str, Fit] | None:
        """The name of a photograph, and how well it fits, which may be compared; None where there is none.

        Args:
            stated: its path, with the folders that are known, or the end of it, with or without a suffix.
            likely: where it would be first of all.
            beside: the file that states it; of two photographs that fit alike the one nearer to it is meant.

        Raises:
            DataError: several photographs fit.
        """
        for path in filter(os.path.isfile, likely):
            for place in (path.absolute(), path.resolve()):
                if (name := self._places.get(place)) is not None:
                    return name, (math.inf, True, 0)
        last = PurePosixPath(stated).name
        spellings = [last, UPLOADED.sub("", last)]
        keys = [_key(text) for text in (*spellings, *(PurePosixPath(text).stem for text in spellings))]
        fitting = next((self._by_key[key] for key in keys if key in self._by_key), [])
        whole, near = PurePosixPath(stated), beside.absolute()
        fits = [(_fit(self.files[name], whole, near), name) for name in fitting]
        best = max((fit for fit, _ in fits), default=None)
        names = [name for fit, name in fits if fit == best]
        if len(names) > 1:
            both = " and ".join(str(self.files[name]) for name in names[:2])
            raise DataError(f"{storage.shown(stated)}: exactly one photograph must fit. Received: {both}.")
        return (names[0], best) if best else None


def _key(name: str) -> str:
    return composed(name).casefold()


def _fit(path: Path, stated: PurePosixPath, beside: Path) -> Fit:
    """How many folders, from the last on, a photograph has in common with what is stated of it; same spelling; near."""
    ends = zip(map(_key, path.parts[-2::-1]), map(_key, stated.parts[-2::-1]))
    return _alike(ends), path.name == stated.name, _alike(zip(path.parts, beside.parts))


def _alike(pairs: Iterable[tuple[str, str]]) -> int:
    """How many pairs there are before the first of different names."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
