"""From shapes to a label map: which pixels each has, and which of two shapes a pixel belongs to.

A pixel belongs to an outline if its centre lies within it, by the even-odd rule. Where shapes overlap, the higher layer
wins; within a layer the smaller shape, so that a car shows on the road, whichever was drawn first.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ass_tf import labels
from ass_tf.annotations.shapes import BROKEN, EMPTY, MISFIT, Misfit, Shape


class Region(NamedTuple):
    """Pixels of a shape: a mask, bool (h, w), and where its first pixel lies in the photograph."""

    top: int
    left: int
    mask: np.ndarray


def inside(outline: np.ndarray, height: int, width: int, top: int = 0, left: int = 0) -> np.ndarray:
    """Pixels whose centre lies within a closed outline, in a part of the picture.

    Args:
        outline: float64 (n, 2), x and y of its corners; it may leave the part and cross itself.
        height: of the part.
        width: of the part.
        top: the part's first row.
        left: the part's first column.

    Returns:
        mask: bool (height, width).

    Example:
        >>> inside(np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]]), 2, 4).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    # Each edge from its upper end down, whichever way the outline goes: neighbours find the same pixels on their edge.
    following = np.roll(outline, -1, axis=0)
    falls = (outline[:, 1] <= following[:, 1])[:, None]
    x0, y0 = np.where(falls, outline, following).T
    x1, y1 = np.where(falls, following, outline).T
    # An edge passes the centres, at y + 0.5, of the rows from `first` up to but not `last`.
    first, last = (np.clip(np.ceil(y - 0.5), top, top + height).astype(np.int64) for y in (y0, y1))
    count = last - first
    edge = np.repeat(np.arange(len(outline)), count)
    row = first[edge] + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x = x0[edge] + (row + 0.5 - y0[edge]) / (y1 - y0)[edge] * (x1 - x0)[edge]
    column = np.clip(np.ceil(x - 0.5), left, left + width).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.uint8)
    np.add.at(crossings, (row - top, column - left), 1)  # modulo 256, which leaves them even or odd
    return np.cumsum(crossings[:, :width], axis=1, dtype=np.uint8) % 2 == 1


def region_of(shape: Shape, size: tuple[int, int]) -> Region | None:
    """The pixels of a shape in a photograph of a size (h, w); None where it has none.

    Raises:
        Misfit: its mask has another size.
        Exception: its mask cannot be decoded; the class is the decoder's.
    """
    if shape.mask is not None:
        whole, top, left = np.asarray(shape.mask(size), bool), 0, 0
        if whole.shape != size:
            raise Misfit
    else:
        corners = np.concatenate(shape.outlines)
        (left, top), (right, bottom) = (
            np.clip(bound, 0, size[::-1]).astype(int) for bound in (np.floor(corners.min(0)), np.ceil(corners.max(0)))
        )
        whole = np.zeros((bottom - top, right - left), bool)
        for one in shape.outlines:
            whole |= inside(one, bottom - top, right - left, top, left)
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    if not rows.size:
        return None
    part = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Region(int(top + rows[0]), int(left + columns[0]), part)


def paint(
    shapes: Sequence[Shape],
    size: tuple[int, int],
    ids: Mapping[str | None, int],
    uncovered: int = labels.IGNORE,
    by_area: bool = True,
    lost: collections.Counter[str] | None = None,
) -> tuple[np.ndarray, list[Shape]]:
    """A label map.

    Args:
        shapes: in the order of their file.
        size: (h, w).
        ids: class name -> id; that of None is for shapes to ignore.
        uncovered: id of the pixels that no shape covers.
        by_area: whether smaller shapes lie above larger ones of their layer; else later above earlier.
        lost: counts shapes that have no pixel.

    Returns:
        label: uint8 (h, w).
        painted: the shapes that have pixels.
    """
    lost = collections.Counter() if lost is None else lost
    layers = {layer: n for n, layer in enumerate(sorted({shape.layer for shape in shapes}))}
    label = np.full(size, uncovered, np.uint8)
    # Of the shape that each pixel shows. One shape's region after the other is held, as there may be thousands.
    ranks = np.full(size, np.iinfo(np.int64).min)
    painted = []
    for shape in shapes:
        region = _region_or_lost(shape, size, lost)
        if region is None:
            continue
        place = np.s_[region.top : region.top + len(region.mask), region.left : region.left + region.mask.shape[1]]
        rank = layers[shape.layer] * (size[0] * size[1] + 1) - (int(region.mask.sum()) if by_area else 0)
        shown = region.mask & (ranks[place] <= rank)
        label[place][shown] = ids[shape.name]
        ranks[place][shown] = rank
        painted.append(shape)
    return label, painted


def _region_or_lost(shape: Shape, size: tuple[int, int], lost: collections.Counter[str]) -> Region | None:
    """`region_of`; counts why there is none."""
    try:
        region = region_of(shape, size)
    except MemoryError:
        raise
    except Misfit:
        lost[MISFIT] += 1
        return None
    except Exception:  # decoders of masks raise errors of many kinds
        lost[BROKEN] += 1
        return None
    if region is None:
        lost[EMPTY] += 1
    return region
