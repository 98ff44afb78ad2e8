"""Image files: found, and decoded to upright 8-bit RGB whatever their packing.

Needs Pillow and NumPy only, and changes no setting of Pillow's. Training, inference and calibration find and read
photographs by these functions alone.
"""

from __future__ import annotations

import csv
import fnmatch
import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000")
MAX_PIXELS = 178_956_970  # above it Pillow raises an error unless it is told not to
SKIPPED = ("@eaDir", "__MACOSX", "$RECYCLE.BIN")  # folders of thumbnails and remains next to people's images
SUMMARY_HEAD = ["file", "name", "height", "width", "read_seconds", "run_seconds", "write_seconds"]
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's orientations
ACROSS = (5, 6, 7, 8)  # those that exchange width and height
Fixed = tuple[int | None, int | None]  # (h, w) of a model that takes one size only; None otherwise

Image.init()  # before there are threads


class Unreadable(ValueError):
    """A file that cannot be used; the message is the reason, without the name."""


def find(words: Sequence[str], out: Path) -> list[Path]:
    """The files that the words of a command line name, each once, in order.

    Args:
        words: files, folders (searched at any depth for names with an image's suffix), and patterns with * or ?, of
            which ** is any number of folders.
        out: folder of the results; nothing in it is an input.

    Returns:
        paths: a word that matches nothing stands for itself, so that it is named as missing later.
    """
    found: dict[str, Path] = {}
    for word in words:
        for match in _matches(word):
            paths = _images_in(Path(match)) if os.path.isdir(match) else [Path(match)]
            for path in paths:
                found.setdefault(os.path.realpath(path), path)
    results = Path(os.path.realpath(out))
    return [path for real, path in found.items() if results not in Path(real).parents]


def _matches(word: str) -> list[str]:
    """What a word stands for; as much of it as there is by that very name is no pattern."""
    if os.path.lexists(word):
        return [word]
    parts = Path(word).parts
    known = next(n for n in range(len(parts), -1, -1) if n == 0 or os.path.lexists(Path(*parts[:n])))
    above = glob.escape(str(Path(*parts[:known]))) if known else ""
    deep = parts.index("**", known) if "**" in parts[known:] else len(parts)
    start = os.path.join(above, *parts[known:deep])
    found = [match for match in (glob.glob(start) if start else ["."]) if _is_wanted(match, parts)]
    if deep < len(parts):
        found = [path for folder in found for path in _deep_in(Path(folder), parts[deep + 1 :])]
    return sorted(found) or [word]


def _is_wanted(match: str, pattern: Sequence[str]) -> bool:
    """Whether a pattern's match lies in no folder that `walk` leaves out, except those that the pattern names."""
    parts = Path(match).parts
    guessed = [n for n, (part, spelled) in enumerate(zip(parts, pattern), 1) if part != spelled]
    return not any(parts[n - 1] in SKIPPED or holds_results(Path(*parts[:n])) for n in guessed)


def _deep_in(folder: Path, pattern: Sequence[str]) -> list[str]:
    """Files at any depth that fit what a pattern has behind its first `**`, walked since links may lead back."""
    if not pattern:
        return [str(folder)]
    refused: list[Path] = []
    found = walk(folder, lambda path, _: refused.append(path)) if folder.is_dir() else []
    fitting = [path for path in found if _fits(path.relative_to(folder).parts, ("**", *pattern))]
    return [str(path) for path in (*fitting, *refused)]


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _images_in(folder: Path) -> list[Path]:
    """Images below a folder; a folder that cannot be read stands for itself."""
    refused: list[Path] = []
    found = walk(folder, lambda path, _: refused.append(path))
    return [*(path for path in found if path.suffix.lower() in SUFFIXES), *refused]


def walk(folder: Path, refuse: Callable[[Path, OSError], Any]) -> list[Path]:
    """Files below a folder in order, links followed, each real folder once.

    Left out are hidden files and folders, those in SKIPPED, and folders of results (`holds_results`), unless `folder`
    itself is one.

    Args:
        folder: where to begin.
        refuse: called with each folder that cannot be read, and why.
    """
    found: list[Path] = []
    seen: set[str] = set()
    links = [folder]  # followed when all that has a real name of its own has been seen under it
    while links:
        waiting = [links.pop(0)]
        while waiting:
            here = waiting.pop()
            if os.path.realpath(here) in seen or (here != folder and holds_results(here)):
                continue
            seen.add(os.path.realpath(here))
            try:
                inside = [path for path in here.iterdir() if path.name[0] != "." and path.name not in SKIPPED]
            except OSError as error:
                refuse(here, error)
                continue
            for path in sorted(inside):
                if not os.path.isdir(path):
                    found.append(path)
                else:
                    (links if path.is_symlink() else waiting).append(path)
    return sorted(found)


def holds_results(folder: Path) -> bool:
    """Whether a folder holds what an earlier call of `command` wrote."""
    return is_table(folder / "summary.csv")


def is_table(file: Path) -> bool:
    """Whether a file is a table of results, as `summary` writes it."""
    try:
        with open(file, encoding="utf-8", errors="replace", newline="") as stream:
            return next(csv.reader(stream), [])[: len(SUMMARY_HEAD)] == SUMMARY_HEAD
    except (OSError, csv.Error):
        return False


def decode(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An upright RGB image of 8 bits a channel; of several frames or pages the first.

    Args:
        path: the file; what it holds counts, not its suffix.
        max_pixels: a file that claims more is refused before it is unpacked.

    Raises:
        Unreadable: it is missing, no image, damaged, or too large.
    """
    return _decoded(path, max_pixels)[0]


def draft(path: Path, max_pixels: int, max_side: int, fixed: Fixed) -> tuple[Image.Image, tuple[int, int]]:
    """What `decode` returns, but of a JPEG perhaps a half, a quarter or an eighth as large, which is decoded faster.

    Args:
        path: the file.
        max_pixels: a file that claims more is refused before it is unpacked.
        max_side: as `shrink` takes it.
        fixed: as `shrink` takes it.

    Returns:
        image: each of its sides is at least twice what `shrink` makes of the file, or the file's own.
        size: (w, h) of the file, upright.

    Raises:
        Unreadable: it is missing, no image, damaged, or too large.
    """
    return _decoded(path, max_pixels, lambda size: shrunk_size(size, max_side, fixed))


def _decoded(
    path: Path, max_pixels: int, target: Callable[[tuple[int, int]], tuple[int, int]] | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """The image and its file's upright size; with a target of that size, the image is a draft for it."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise Unreadable("is a folder that cannot be read." if os.path.isdir(path) else "is no ordinary file.")
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise Unreadable(f"claims {width} x {height} pixels, more than the {max_pixels} that are allowed.")
            whole = _begin_draft(image, target) if target and isinstance(image, JpegImageFile) else None
            image.load()
            upright = _as_rgb(_upright(image))
            return upright, whole or upright.size
    except (Unreadable, MemoryError):
        raise
    except FileNotFoundError:
        raise Unreadable("no such file.") from None
    except Image.UnidentifiedImageError:
        raise Unreadable("is no image of a known format, or is damaged.") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"claims more pixels than the {min(max_pixels, MAX_PIXELS)} that are allowed.") from None
    except OSError as error:
        raise Unreadable(f"{(error.strerror or str(error) or repr(error)).splitlines()[0]}.") from None
    except Exception as error:  # a damaged file makes Pillow raise errors of many kinds
        raise Unreadable(f"cannot be decoded: {(str(error) or repr(error)).splitlines()[0]}.") from None


def _begin_draft(image: JpegImageFile, target: Callable[[tuple[int, int]], tuple[int, int]]) -> tuple[int, int]:
    """Have a JPEG decoded at the least size that is twice the target's or more; returns its whole upright size."""
    across = _orientation(image) in ACROSS
    whole = image.size[::-1] if across else image.size
    width, height = target(whole)[::-1] if across else target(whole)
    image.draft(None, (2 * width, 2 * height))
    return whole


def _upright(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(0x0112)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF data say nothing
        return None


def _as_rgb(image: Image.Image) -> Image.Image:
    """Grey of 16 bits keeps its high byte, transparency is dropped, everything else is Pillow's conversion."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise Unreadable("holds integers beyond 16 bits.")
        image = Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise Unreadable("holds floating-point values, whose range is unknown.")
    elif image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    return image if image.mode == "RGB" else image.convert("RGB")


def shrink(image: Image.Image, max_side: int, fixed: Fixed, whole: tuple[int, int] | None = None) -> np.ndarray:
    """The picture as the model takes it.

    Args:
        image: RGB.
        max_side: longer sides are brought down to this; 0 leaves every size.
        fixed: (h, w) of a model that takes one size only; its entries are None otherwise.
        whole: (w, h) of the file where the image is a draft of it.

    Returns:
        uint8 (h, w, 3).
    """
    size = shrunk_size(whole or image.size, max_side, fixed)
    return np.asarray(image if size == image.size else image.resize(size, Image.Resampling.BICUBIC))


def shrunk_size(size: tuple[int, int], max_side: int, fixed: Fixed) -> tuple[int, int]:
    """(w, h) at which the model takes a picture of a size (w, h)."""
    width, height = size
    scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
    return fixed[1] or max(1, round(width * scale)), fixed[0] or max(1, round(height * scale))
