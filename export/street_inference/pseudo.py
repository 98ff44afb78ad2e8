"""Predictions as a data set of the layout `folder`: photographs, labels that ignore what is unsure, and the classes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from street_inference import drawing

IGNORE = 255


def names_of(path: str | Path, name: str) -> tuple[str, str]:
    """The photograph's file and its label's below the folder, from its path and the start of its results' names."""
    return f"images/{name}{Path(path).suffix.lower()}", f"labels/{name}.png"


def write(folder: Path, photograph: Any, sure: int) -> None:
    """Copies a photograph and writes its label, upright, of its own size.

    Args:
        folder: of the data set.
        photograph: `flow.Photograph` with `labels` and `confidence`.
        sure: 0 to 255. Pixels of less confidence become IGNORE.

    Raises:
        OSError: a file cannot be written.
    """
    copy, label = (folder / name for name in names_of(photograph.path, photograph.name))
    kept = np.where(photograph.confidence >= sure, photograph.labels, IGNORE).astype(np.uint8)
    drawing.save(label, Image.fromarray(kept).resize(photograph.size[::-1], Image.Resampling.NEAREST))
    unfinished = copy.with_name(f".{copy.name}.part")
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(photograph.path, unfinished)
        os.replace(unfinished, copy)
    finally:
        unfinished.unlink(missing_ok=True)


def write_classes(folder: Path, names: Sequence[str]) -> None:
    """Writes classes.json: the name of each train id, and null for IGNORE."""
    unfinished = folder / ".classes.json.part"
    content = {**{str(number): name for number, name in enumerate(names)}, str(IGNORE): None}
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / "classes.json")
