"""What a data set is to the rest of the package: pairs of files and the meaning of their ids."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ass_tf import labels


class DataError(ValueError):
    """Files that cannot be used; each line of the message names the file."""


@dataclasses.dataclass(frozen=True)
class Pair:
    name: str  # what list files hold
    image: Path
    label: Path | None


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    pairs: tuple[Pair, ...]  # sorted by name
    table: np.ndarray  # uint8 (65536,), raw id -> train id
    size: tuple[int, int]  # (height, width) that the network sees
    dataset: str
    raw_names: tuple[str, ...] = ()  # of the classes that its labels have
    label_folder: Path | None = None  # where labels were looked for
    colours: labels.ColourTable | None = None  # of labels that hold colours

    @property
    def meaning(self) -> bytes:
        """What its labels mean, for comparisons."""
        return self.table.tobytes() + (self.colours.colours.tobytes() if self.colours else b"")
