"""The photographs that annotations belong to: found by the names that the files state, and how they are turned."""

from __future__ import annotations

import io
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from ass_tf.config.layouts import PHOTOGRAPHS
from ass_tf.datasets import DataError
from ass_tf.datasets.finding import composed, walk
from ass_tf.system import storage
from street_inference import images

UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
ORIENTATION = 0x0112  # of EXIF


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
            across = orientation in images.ACROSS
            return Stored(image.size if across else image.size[::-1], orientation)
    except Exception as error:  # damaged files make Pillow raise errors of many kinds
        what = error.strerror if isinstance(error, OSError) else None
        raise DataError(f"{what or 'is no image of a known format, or is damaged'}.") from None


def suffix_of(content: bytes) -> str:
    """The suffix of a file with some content, which `stored` could read."""
    with Image.open(io.BytesIO(content)) as image:
        return SUFFIXES.get(image.format or "", ".png")


def below(folder: Path) -> list[Path]:
    """The photographs below a folder; DataError if it cannot be read."""
    return [folder / name for name in walk(folder) if name.lower().endswith(PHOTOGRAPHS)]


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
        self._real: dict[Path, str] = {}
        self._by_key: dict[str, list[str]] = {}
        real = list(dict.fromkeys(file.absolute() for file in files))
        base = os.path.commonpath([file.parent for file in real]) if real else ""
        for file in real:
            self.add(file.relative_to(base).with_suffix("").as_posix(), file)
        for file in more:
            if file.resolve() not in self._real:
                self.add(file.stem, file)

    def add(self, name: str, path: Path) -> None:
        """Adds a photograph."""
        storage.check_name(name, f"{path.parent}: names of files", DataError)
        if name in self.files:
            raise DataError(f"{path}: {self.files[name]} has the same name.")
        self.files[name] = path
        self._real[path.resolve()] = name
        for key in {_key(path.name), _key(path.stem)}:
            self._by_key.setdefault(key, []).append(name)

    def find(self, stated: str, likely: Sequence[Path]) -> str | None:
        """The name of a photograph; None where there is none.

        Args:
            stated: its path, with the folders that are known, or the end of it, with or without a suffix.
            likely: where it would be first of all.

        Raises:
            DataError: several photographs fit.
        """
        for path in likely:
            if (name := self._real.get(path.resolve())) is not None:
                return name
        last = PurePosixPath(stated).name
        spellings = [last, UPLOADED.sub("", last)]
        keys = [_key(text) for text in (*spellings, *(PurePosixPath(text).stem for text in spellings))]
        fitting = next((self._by_key[key] for key in keys if key in self._by_key), [])
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        ranks = {name: (_common_end(name, stated), self.files[name].name == last) for name in fitting}
        first, second = sorted(fitting, key=ranks.__getitem__, reverse=True)[:2]
        if ranks[first] == ranks[second]:
            both = f"{self.files[first]} and {self.files[second]}"
            raise DataError(f"{storage.shown(stated)}: exactly one photograph must fit. Received: {both}.")
        return first


def _key(name: str) -> str:
    return composed(name).casefold()


def _common_end(name: str, stated: str) -> int:
    """How many folders, from the last on, two paths have in common."""
    both = zip(reversed(PurePosixPath(name).parts[:-1]), reversed(PurePosixPath(stated).parts[:-1]))
    return sum(1 for _ in itertools.takewhile(lambda pair: _key(pair[0]) == _key(pair[1]), both))
