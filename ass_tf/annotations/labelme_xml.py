"""The XML files of LabelMe's web tool, one a photograph, and the masks beside them.

Source of the format: https://github.com/CSAILVision/LabelMeAnnotationTool, what `annotationTools/js` writes and the
example in `Annotations`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from ass_tf.annotations.shapes import BOXES, BROKEN, LINES, NAMELESS, POINTS, Annotated, Picture, Shape, outline
from ass_tf.datasets import DataError

ANNOTATIONS, IMAGES, MASKS = "Annotations", "Images", "Masks"  # folders beside each other


def read(files: Sequence[Path]) -> Annotated:
    """Reads the XML files.

    Returns:
        annotated: Annotated; names in alphabetical order, as the format has no list of classes.

    Raises:
        DataError: a file is not what the tool writes; the message names it.
    """
    dropped: collections.Counter[str] = collections.Counter()
    pictures = [_picture(file, dropped) for file in files]
    names = sorted({shape.name for picture in pictures for shape in picture.shapes if shape.name is not None})
    return Annotated("LabelMe, XML of its web tool", pictures, tuple(names), dropped, IMAGES)


def parse(file: Path) -> Any:
    """The tree of an XML file; DataError, which names it, if it is none."""
    from defusedxml import ElementTree  # comes with Datumaro

    try:
        return ElementTree.parse(file)
    except Exception as error:  # entities that it refuses have errors of their own
        raise DataError(f"{file}: no valid XML: {str(error).splitlines()[0]}.") from None


def _picture(file: Path, dropped: collections.Counter[str]) -> Picture:
    root = parse(file).getroot()
    name, folder = _text(root, "filename"), _text(root, "folder")
    if not name:
        raise DataError(f"{file}: must hold the filename of a photograph, as LabelMe's web tool writes it.")
    home = next((path.parent for path in file.parents if path.name == ANNOTATIONS), file.parent)
    shapes = []
    for plain in root.iter("object"):
        if _text(plain, "deleted") not in ("", "0"):
            continue
        found = _shape(plain, home / MASKS / folder)
        if isinstance(found, Shape):
            shapes.append(found)
        else:
            dropped[found] += 1
    try:
        height, width = (int(_text(root, f"imagesize/{key}")) for key in ("nrows", "ncols"))
    except ValueError:  # the older ones do not say it
        height, width = 0, 0
    size = (height, width) if min(height, width) > 0 else None
    return Picture(file, PurePosixPath(IMAGES, folder, name).as_posix(), tuple(shapes), size)


def _text(element: Any, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _shape(plain: Any, masks: Path) -> Shape | str:
    """An object, or what is dropped."""
    name, polygon = _text(plain, "name"), plain.find("polygon")
    if _text(plain, "type") == "bounding_box":
        return BOXES
    if not name:
        return NAMELESS
    if polygon is None:
        file = PurePosixPath(_text(plain, "segm/mask").replace("\\", "/")).name
        return Shape(name, "masks", mask=_mask(masks / file)) if file else BROKEN
    try:
        points = outline(float(_text(point, axis)) for point in polygon.iter("pt") for axis in ("x", "y"))
    except ValueError:
        return BROKEN
    if len(points) < 3:
        return LINES if len(points) == 2 else POINTS
    return Shape(name, "polygons", (points,))


def _mask(file: Path) -> Callable[[tuple[int, int]], np.ndarray]:
    """Reads a mask, a PNG that is black outside the object."""

    def whole(size: tuple[int, int]) -> np.ndarray:
        with Image.open(file, formats=["PNG"]) as image:
            return np.any(np.asarray(image.convert("RGB")), axis=2)

    return whole
