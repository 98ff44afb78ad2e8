"""Annotation files read by Datumaro: COCO, CVAT, Pascal VOC and its own.

Source: https://github.com/open-edge-platform/datumaro, version 1.13.
"""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ass_tf.annotations import staging
from ass_tf.annotations.shapes import (
    BOXES,
    BROKEN,
    HIDDEN,
    LINES,
    NAMELESS,
    POINTS,
    TAGS,
    Annotated,
    Misfit,
    Picture,
    Shape,
    outline,
)
from ass_tf.annotations.staging import Staged
from ass_tf.datasets import DataError
from ass_tf.system import storage

KINDS = {  # Datumaro's -> ours, of annotations without an area
    "bbox": BOXES,
    "rotated_bbox": BOXES,
    "polyline": LINES,
    "points": POINTS,
    "label": TAGS,
    "caption": TAGS,
}
BACKGROUND, IGNORED = "background", "ignored"  # of Pascal VOC's classes: no object; do not care


def demand() -> None:
    """Raises DataError, which says what to install, where Datumaro is not."""
    if importlib.util.find_spec("datumaro") is None:
        raise DataError('these annotations need Datumaro: pip install "ass_tf[labels]".')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Datumaro's own lines on stderr."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def open_all(form: str, title: str, files: Sequence[Path]) -> Iterator[Annotated]:
    """Reads annotation files; masks may be decoded as long as the context lasts.

    Args:
        form: our name of the format.
        title: for the user.
        files: those of the format.

    Raises:
        DataError: Datumaro cannot read them; the message names the file.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        dropped: collections.Counter[str] = collections.Counter()
        pictures: list[Picture] = []
        names: dict[str, None] = {}
        for n, some in enumerate(_read_together(form, files)):
            stage = Path(folder, str(n))
            stage.mkdir()
            pictures += _pictures(staging.FORMS[form](some, stage, dropped), form, dropped, names)
        yield Annotated(title, pictures, tuple(names), dropped, staging.IMAGES if form == "voc" else "")


def _read_together(form: str, files: Sequence[Path]) -> list[list[Path]]:
    """The files that Datumaro reads at once: each by itself, but the masks of a Pascal VOC all at once."""
    if form != "voc":
        return [[file] for file in files]
    groups: dict[Path, list[Path]] = {}
    for file in files:
        groups.setdefault(staging.masks_above(file), []).append(file)
    return list(groups.values())


def _pictures(
    staged: Staged, form: str, dropped: collections.Counter[str], names: dict[str, None]
) -> Iterator[Picture]:
    """What Datumaro reads of some files; adds the names of the classes."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset
    from datumaro.components.importer import ImportErrorPolicy

    refused: collections.Counter[str] = collections.Counter()

    class Counting(ImportErrorPolicy):
        def _handle_item_error(self, error: Exception) -> None:
            refused[_cause(error)] += 1

        def _handle_annotation_error(self, error: Exception) -> None:
            dropped[BROKEN] += 1

    try:
        dataset = Dataset.import_from(str(staged.path), staged.plugin, error_policy=Counting())
        items = list(dataset)
        categories = dataset.categories().get(AnnotationType.label) or ()
    except MemoryError:
        raise
    except Exception as error:  # Datumaro's readers raise errors of many kinds
        raise DataError(f"{staged.file}: Datumaro cannot read it: {_cause(error)}.") from None
    if refused and not items:
        raise DataError(f"{staged.file}: Datumaro cannot read it: {next(iter(refused))}.")
    dropped.update({f"photographs that Datumaro refused ({cause})": n for cause, n in refused.items()})
    known = [category.name for category in categories]
    names.update(dict.fromkeys(name for name in known if form != "voc" or name not in (BACKGROUND, IGNORED)))
    order = {name: n for n, name in enumerate(staged.stated)}
    for item in sorted(items, key=lambda item: order.get(item.id, 0)):  # Datumaro reverses COCO's
        yield _picture(item, staged, form, known, dropped)


def _cause(error: BaseException) -> str:
    """The innermost reason, in one line without a stop."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error.args[0]) if type(error) is KeyError and error.args else str(error)
    line = (text.strip() or repr(error)).splitlines()[0].rstrip(".")
    return storage.shown(re.sub(r"np\.\w+\((\d+)\)", r"\1", line))


def _picture(item: Any, staged: Staged, form: str, known: Sequence[str], dropped: collections.Counter[str]) -> Picture:
    media = item.media
    size = media.size if media is not None and media.has_size else None
    shapes: list[Shape] = []
    for parts in _objects(item.annotations, form):
        found = _shape(parts, form, known)
        if isinstance(found, Shape):
            shapes.append(found)
        elif found is not None:
            dropped[found] += 1
    masks = [one for one in item.annotations if form == "voc" and one.type.name == "mask"]
    if masks:
        size = np.shape(masks[0].image)  # of the label; that of the photograph is not stated
    return Picture(staged.file, staged.stated.get(item.id, item.id), tuple(shapes), size, stretched=staged.stretched)


def _objects(found: Sequence[Any], form: str) -> Iterator[list[Any]]:
    """Annotations that belong together: in COCO the polygons of an object."""
    if form != "coco":
        yield from ([one] for one in found)
        return
    parts: dict[int, list[Any]] = {}
    for one in found:
        parts.setdefault(one.id, []).append(one)
    yield from (parts[number] for number in sorted(parts))


def _shape(parts: Sequence[Any], form: str, known: Sequence[str]) -> Shape | str | None:
    """One object, or what is dropped; None of what stands for no object."""
    first = parts[0]
    kind = first.type.name
    if kind not in ("polygon", "mask", "ellipse"):
        return KINDS.get(kind, f"{kind.replace('_', ' ')}s")
    if first.attributes.get("outside") is True:
        return HIDDEN
    if first.label is None or not 0 <= first.label < len(known) or not known[first.label].strip():
        return NAMELESS
    name: str | None = known[first.label]
    if form == "voc" and name in (BACKGROUND, IGNORED):
        if name == BACKGROUND:
            return None
        name = None
    layer = int(first.z_order or 0)
    if kind == "mask":
        return Shape(name, "masks", mask=lambda size: _decoded(first, size), layer=layer)
    try:
        numbers = [part.points if kind == "polygon" else part.as_polygon() for part in parts]
        return Shape(name, f"{kind}s", tuple(outline(points) for points in numbers), layer=layer)
    except ValueError:
        return BROKEN


def _decoded(mask: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask, (h, w).

    Raises:
        Misfit: it is run lengths of another size, which would be allocated first.
        ValueError: they do not fill it: pycocotools would leave what happens to be in memory.
    """
    if hasattr(mask, "rle"):
        if tuple(mask.rle["size"]) != size:
            raise Misfit
        runs = _runs(mask.rle["counts"])
        if min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
            raise ValueError("run lengths of another sum")
    return mask.image


def _runs(packed: bytes | str) -> list[int]:
    """The run lengths in a string as COCO packs them.

    A number is written from its lowest five bits on, each five plus 48, and plus 32 where more follow; from the
    fourth on it is the difference to the last but one. Source: pycocotools, `maskApi.c`.

    Raises:
        ValueError: the string ends within a number, or holds other letters.

    Example:
        >>> _runs("5221")  # the last is 1 more than the last but one
        [5, 2, 2, 3]
    """
    runs: list[int] = []
    number, shift = 0, 0
    for letter in packed.encode() if isinstance(packed, str) else packed:
        bits = letter - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("a letter that stands for no number, or a number without end")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (1 << shift) * bool(bits & 16)  # the sign
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    if shift:
        raise ValueError("the end of a number is missing")
    return runs
