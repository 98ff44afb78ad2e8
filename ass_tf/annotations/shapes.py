"""What annotation files say, whichever tool wrote them: photographs, and the shapes that were drawn on them.

Coordinates are pixels: x to the right and y down from the upper left corner of the photograph, so that the centre of
its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

FARTHEST = 10**7  # pixels from the photograph

# What is counted and has no area.
BOXES, LINES, POINTS, TAGS = "boxes", "lines", "points", "tags"
NAMELESS = "shapes without a class"
HIDDEN = "shapes that a track has out of the frame"
EMPTY = "shapes without a pixel in the photograph"
MISFIT = "masks of another size than their photograph"
BROKEN = "shapes that cannot be read"
HOMELESS = "annotations of a photograph that is not listed"


class Misfit(ValueError):
    """A mask of another size than its photograph."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
    """One object of a photograph: the pixels of its mask, or those whose centre lies in one of its outlines.

    Attributes:
        name: of its class; None: its pixels are to be ignored.
        kind: how it was drawn, for the count.
        outlines: float64 (n, 2) each, x and y of the corners.
        mask: returns bool (h, w) when called with the size (h, w) of the photograph.
        layer: the tool's own order from below, where it has one.
    """

    name: str | None
    kind: str
    outlines: tuple[np.ndarray, ...] = ()
    mask: Callable[[tuple[int, int]], np.ndarray] | None = None
    layer: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What is said of one photograph.

    Attributes:
        file: that says it.
        stated: name of the photograph there, with the folders that are known, separated by `/`.
        shapes: in the order of the file.
        size: (h, w) of the photograph, as the file has it; None where it does not say.
        embedded: returns the bytes of the photograph, where the file holds it.
        stretched: a photograph that is stored lying has coordinates that are right as parts of `size` only.
    """

    file: Path
    stated: str
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    embedded: Callable[[], bytes] | None = None
    stretched: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Annotated:
    """All that was read.

    Attributes:
        title: of the format, for the user.
        pictures: in the order of their files.
        names: of the classes, in the tool's order.
        dropped: what was left out, and how often.
        folder: in the source, that holds the photographs by the rules of the format; empty: they may lie anywhere.
    """

    title: str
    pictures: list[Picture]
    names: tuple[str, ...]
    dropped: collections.Counter[str]
    folder: str = ""


def outline(numbers: Iterable[float]) -> np.ndarray:
    """float64 (n, 2) of x, y, x, y, ...

    Raises:
        ValueError: a number is missing, or no coordinate.
    """
    numbers = list(numbers)
    if not all(abs(number) <= FARTHEST for number in numbers):  # NaN, too
        raise ValueError(f"a coordinate must be a number from -{FARTHEST} to {FARTHEST}")
    return np.array(numbers, np.float64).reshape(-1, 2)


def rectangle(points: np.ndarray) -> np.ndarray:
    """float64 (4, 2): corners of the upright rectangle around points."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def circle(centre: np.ndarray, rim: np.ndarray, corners: int = 180) -> np.ndarray:
    """float64 (corners, 2): a regular polygon, whose sides are within 0.00016 radii of the circle."""
    radius = np.hypot(*(rim - centre))
    angles = np.arange(corners) * 2 * np.pi / corners
    return centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
