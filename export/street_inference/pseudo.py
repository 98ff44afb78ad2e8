"""Predictions as a data set of the layout `folder`: photographs, labels that ignore what is unsure, and the classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from street_inference import drawing, images, summary
from street_inference.segmenter import ModelError

IGNORE = 255
CLASSES = "classes.json"


def refuse_other(folder: Path) -> None:
    """Refuses to write into a data set that somebody else made.

    Raises:
        ModelError: it is one.
    """
    found = next((name for name in (CLASSES, "images", "labels") if (folder / name).exists()), None)
    if found and not images.holds_results(folder):
        rule = "is of a data set that no earlier call made, parts of which could be lost; use another --out"
        raise ModelError(f"{folder / found}: {rule}.")


def names_of(path: str | Path, name: str) -> tuple[str, str]:
    """The photograph's file and its label's below the folder, from its path and the start of its results' names."""
    suffix = Path(path).suffix.lower()
    return f"images/{name}{suffix if suffix in images.SUFFIXES else '.png'}", f"labels/{name}.png"


def write(folder: Path, photograph: Any, sure: int, max_pixels: int) -> None:
    """Copies a photograph and writes its label, upright, of its own size.

    A photograph whose suffix no data set takes for one becomes a PNG.

    Args:
        folder: of the data set.
        photograph: `flow.Photograph` with `labels` and `confidence`.
        sure: 0 to 255. Pixels of less confidence become IGNORE.
        max_pixels: of the photograph.

    Raises:
        images.Unreadable: the photograph is gone; nothing is written.
        OSError: a file cannot be written.
    """
    copy, label = (folder / name for name in names_of(photograph.path, photograph.name))
    content = _content_of(photograph.path, max_pixels)
    kept = np.where(photograph.confidence >= sure, photograph.labels, IGNORE).astype(np.uint8)
    drawing.save(label, Image.fromarray(kept).resize(photograph.size[::-1], Image.Resampling.NEAREST))
    with drawing.replacing(copy) as unfinished:
        unfinished.write_bytes(content)


def _content_of(path: Path, max_pixels: int) -> bytes:
    try:
        if path.suffix.lower() in images.SUFFIXES:
            return path.read_bytes()
        stream = io.BytesIO()
        images.decode(path, max_pixels).save(stream, "PNG")
        return stream.getvalue()
    except OSError as error:
        raise images.Unreadable(f"{error.strerror}.") from None


def write_classes(folder: Path, names: Sequence[str]) -> None:
    """Writes classes.json: the name of each train id, and null for IGNORE."""
    classes = {**{str(number): name for number, name in enumerate(names)}, str(IGNORE): None}
    summary.write_json(folder / CLASSES, classes)
