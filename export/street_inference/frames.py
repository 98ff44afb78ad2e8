"""The table of a video: class shares of its frames, a row each."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from street_inference.segmenter import ModelError

HEAD = ["frame", "seconds"]  # the classes follow
LONGEST = 1000  # letters of a line that are looked at


class FrameTable:
    """Class shares of a video's frames, a row each, which outlast a kill; it gets its name when it is closed.

    Args:
        video: the file beside which it lies.
        names: of the classes, c of them.
    """

    def __init__(self, video: Path, names: Sequence[str]) -> None:
        self.file, self.count = beside(video), len(names)
        self._part = self.file.with_name(f".{self.file.name}.part")
        self._stream = open(self._part, "w", newline="", encoding="utf-8")  # noqa: SIM115 (closed in __exit__)
        self._table = csv.writer(self._stream)
        self._table.writerow([*HEAD, *names])

    def __enter__(self) -> FrameTable:
        return self

    def __exit__(self, *_: Any) -> None:
        with contextlib.suppress(OSError):  # of what could not be written
            self._stream.close()
        self._part.unlink(missing_ok=True)

    def add(self, number: int, seconds: float, labels: np.ndarray) -> None:
        """Takes in a frame: its number from 0, its time, and its labels, uint8 (h, w)."""
        shares = np.bincount(labels.ravel(), minlength=self.count)[: self.count] / labels.size
        self._table.writerow([number, f"{seconds:.6f}", *(f"{share:.6f}" for share in shares)])
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()
        os.replace(self._part, self.file)


def beside(video: Path) -> Path:
    """The file of a video's table."""
    return video.with_suffix(".csv")


def refuse_other(table: Path) -> None:
    """Refuses to replace a file that is no table of a video.

    Raises:
        ModelError: it is none.
        OSError: it cannot be read.
    """
    if not os.path.exists(table):
        return
    with open(table, newline="", encoding="utf-8", errors="replace") as file:
        first = file.readline(LONGEST)
    if first and first.rstrip("\r\n").split(",")[: len(HEAD)] != HEAD:
        raise ModelError(f"{table}: is no table of an earlier call and would be lost; use another --out.")
