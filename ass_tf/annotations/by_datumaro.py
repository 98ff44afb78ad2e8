"""Annotation files read by Datumaro: COCO, CVAT, Pascal VOC, Datumaro's own, and the XML of LabelMe's web tool.

Source: https://github.com/open-edge-platform/datumaro, version 1.13.
"""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import logging
import os
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
    Picture,
    Shape,
    outline,
)
from ass_tf.annotations.staging import Staged
from ass_tf.datasets import DataError
from ass_tf.system import storage

DETECTED = {"cvat": "cvat", "label_me": "labelme-xml", "voc": "voc", "voc_segmentation": "voc"}  # its name -> ours
FOLDERS = {"labelme-xml": "Images", "voc": "JPEGImages"}  # of photographs, beside which there are masks
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


def detect(folder: Path) -> list[str]:
    """Which of the formats in DETECTED a folder, or the only folder in it, may hold, by Datumaro's own detection."""
    from datumaro.components.environment import Environment
    from datumaro.components.format_detection import detect_dataset_format

    environment = Environment()
    detectors = [(name, environment.make_importer(name).detect) for name in DETECTED]
    for _ in range(2):
        with _quiet():
            found = list(dict.fromkeys(DETECTED[str(one)] for one in detect_dataset_format(detectors, str(folder))))
        inside = [path for path in folder.iterdir() if path.is_dir()]
        if found or len(inside) != 1:
            return found
        folder = inside[0]
    return []


@contextlib.contextmanager
def open_all(form: str, title: str, source: Path, files: Sequence[Path]) -> Iterator[Annotated]:
    """Reads annotation files; masks may be decoded as long as the context lasts.

    Args:
        form: our name of the format.
        title: for the user.
        source: file or folder, as given.
        files: those of the format, where each is read by itself.

    Raises:
        DataError: Datumaro cannot read them; the message names the file.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        dropped: collections.Counter[str] = collections.Counter()
        pictures: list[Picture] = []
        names: dict[str, None] = {}
        for staged in _staged(form, source, files, Path(folder), dropped):
            pictures += _pictures(staged, form, dropped, names)
        yield Annotated(title, pictures, tuple(names), dropped, FOLDERS.get(form, ""))


def _staged(
    form: str, source: Path, files: Sequence[Path], folder: Path, dropped: collections.Counter[str]
) -> Iterator[Staged]:
    if form in ("coco", "cvat"):
        for n, file in enumerate(files):
            (folder / str(n)).mkdir()
            yield {"coco": staging.coco, "cvat": staging.cvat}[form](file, folder / str(n), dropped)
    elif form == "voc":
        yield staging.voc(source, folder)
    elif form == "labelme-xml":
        yield staging.labelme_xml(source, files)
    else:
        # Paths of photographs that are elsewhere are taken; `matching` looks for them in the user's folders.
        yield Staged(source, form, source, options={"allow_external_media": True})


def _pictures(
    staged: Staged, form: str, dropped: collections.Counter[str], names: dict[str, None]
) -> Iterator[Picture]:
    """What Datumaro reads of some files; adds the names of the classes."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset
    from datumaro.components.importer import ImportErrorPolicy

    refused: list[str] = []

    class Counting(ImportErrorPolicy):
        def _handle_item_error(self, error: Exception) -> None:
            refused.append(_cause(error))

        def _handle_annotation_error(self, error: Exception) -> None:
            dropped[BROKEN] += 1

    try:
        dataset = Dataset.import_from(str(staged.path), staged.plugin, error_policy=Counting(), **staged.options)
        items = list(dataset)
        categories = dataset.categories().get(AnnotationType.label) or ()
    except MemoryError:
        raise
    except Exception as error:  # Datumaro's readers raise errors of many kinds
        raise DataError(f"{staged.file}: Datumaro cannot read it: {_cause(error)}.") from None
    if refused and not items:
        raise DataError(f"{staged.file}: Datumaro cannot read it: {refused[0]}.")
    if refused:
        dropped[f"photographs that Datumaro refused ({refused[0]})"] += len(refused)
    known = [category.name for category in categories]
    names.update(dict.fromkeys(name for name in known if form != "voc" or name not in (BACKGROUND, IGNORED)))
    for item in items:
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
    path = getattr(media, "path", "") if form in ("datumaro", "labelme-xml") else ""
    stated = staged.stated.get(item.id) or (os.path.relpath(path, staged.path) if path else item.id)
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
    return Picture(staged.file, stated, tuple(shapes), size, stretched=staged.stretched)


def _objects(found: Sequence[Any], form: str) -> Iterator[list[Any]]:
    """Annotations that belong together: in COCO the polygons of an object, whose box says nothing more."""
    if form != "coco":
        yield from ([one] for one in found)
        return
    parts: dict[int, list[Any]] = {}
    for one in found:
        parts.setdefault(one.id, []).append(one)
    for number in sorted(parts):
        yield [part for part in parts[number] if part.type.name != "bbox"] or parts[number]


def _shape(parts: Sequence[Any], form: str, known: Sequence[str]) -> Shape | str | None:
    """One object, or what is dropped; None of what stands for no object."""
    first = parts[0]
    kind = first.type.name
    if kind not in ("polygon", "mask", "ellipse"):
        return KINDS.get(kind, f"{kind.replace('_', ' ')}s")
    if first.attributes.get("outside") is True:
        return HIDDEN
    if first.label is None or not 0 <= first.label < len(known):
        return NAMELESS
    name: str | None = known[first.label]
    if form == "voc" and name in (BACKGROUND, IGNORED):
        if name == BACKGROUND:
            return None
        name = None
    layer = int(first.z_order or 0)
    if kind == "mask":
        return Shape(name, "masks", mask=lambda size: _decoded(first), layer=layer)
    try:
        numbers = [part.points if kind == "polygon" else part.as_polygon() for part in parts]
        return Shape(name, f"{kind}s", tuple(outline(points) for points in numbers), layer=layer)
    except ValueError:
        return BROKEN


def _decoded(mask: Any) -> np.ndarray:
    """A mask, (h, w).

    Raises:
        ValueError: its run lengths do not fill it: pycocotools would leave what happens to be in memory.
    """
    if hasattr(mask, "rle") and _total(mask.rle["counts"]) != np.prod(mask.rle["size"]):
        raise ValueError("run lengths of another sum")
    return mask.image


def _total(packed: bytes | str) -> int:
    """The sum of the run lengths in a string as COCO packs them.

    A number is written from its lowest five bits on, each five plus 48, and plus 32 where more follow; from the
    fourth on it is the difference to the last but one. Source: pycocotools, `maskApi.c`.

    Example:
        >>> _total("5221")  # 5, 2, 2 and 1 + 2
        12
    """
    runs: list[int] = []
    number, shift = 0, 0
    for letter in packed.encode() if isinstance(packed, str) else packed:
        bits = letter - 48
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (1 << shift) * bool(bits & 16)  # the sign
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    return sum(runs)
