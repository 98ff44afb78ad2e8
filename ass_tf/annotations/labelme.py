"""LabelMe's JSON files, one a photograph, which Datumaro does not read: it knows the XML of LabelMe's older web tool.

Source of the format: https://github.com/wkentaro/labelme, `_label_file.py` of version 6.3 and `utils/shape.py`. The
coordinates are those of the photograph turned upright by its EXIF data.
"""

from __future__ import annotations

import base64
import collections
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ass_tf.annotations.shapes import LINES, NAMELESS, POINTS, Annotated, Picture, Shape, circle, outline, rectangle
from ass_tf.datasets import DataError
from ass_tf.system import storage

LEAST = {  # points of each kind that has an area
    "polygon": 3,
    "rectangle": 2,
    "circle": 2,
    "mask": 2,
    "oriented_rectangle": 4,
    "rotation": 4,  # an oriented rectangle, as AnyLabeling writes it
}
IGNORED = "__ignore__"  # LabelMe's name for what is to be ignored
WITHOUT_AREA = {"line": LINES, "linestrip": LINES, "point": POINTS, "points": POINTS}


def is_one(content: Any) -> bool:
    """Whether the content of a JSON file is LabelMe's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(files: Sequence[Path], root: Path) -> Annotated:
    """Reads LabelMe's JSON files.

    Args:
        files: the JSON files.
        root: folder that they lie in, at any depth.

    Returns:
        annotated: Annotated; names in alphabetical order, as the format has no list of classes.

    Raises:
        DataError: a file is not what LabelMe writes; the message names it.
    """
    dropped: collections.Counter[str] = collections.Counter()
    pictures = [_picture(file, root, dropped) for file in files]
    names = sorted({shape.name for picture in pictures for shape in picture.shapes if shape.name is not None})
    return Annotated("LabelMe, JSON", pictures, tuple(names), dropped)


def _picture(file: Path, root: Path, dropped: collections.Counter[str]) -> Picture:
    content = storage.read_json(file, DataError)
    if not is_one(content) or not isinstance(content["imagePath"], str):
        raise DataError(f"{file}: must hold shapes and the imagePath of a photograph, as LabelMe writes them.")
    height, width = content.get("imageHeight"), content.get("imageWidth")
    size = (height, width) if type(height) is int and type(width) is int and min(height, width) > 0 else None
    shapes = []
    for place, plain in enumerate(content["shapes"]):
        try:
            found = _shape(plain)
        except (ValueError, TypeError, LookupError) as error:
            raise DataError(f"{file}: shapes[{place}]: {_reason(error)}.") from None
        if isinstance(found, Shape):
            shapes.append(found)
        else:
            dropped[found] += 1
    stated = (file.parent.relative_to(root) / content["imagePath"].replace("\\", "/")).as_posix()
    embedded = _embedded(file) if content.get("imageData") else None  # read again when it is needed
    return Picture(file, stated, tuple(shapes), size, embedded)


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, LookupError) else str(error)


def _shape(plain: Mapping[str, Any]) -> Shape | str:
    """A shape, or what is dropped."""
    if not isinstance(plain, dict):
        raise TypeError(f"a shape must be an object. Received: {storage.shown(json.dumps(plain))}")
    name, kind = plain["label"], plain.get("shape_type") or "polygon"  # versions before 3 knew polygons only
    if not isinstance(name, str) or not isinstance(kind, str):
        raise TypeError("label and shape_type must be strings")
    if kind in WITHOUT_AREA:
        return WITHOUT_AREA[kind]
    if kind not in LEAST:
        return f"shapes of the kind {storage.shown(kind, 40)}"
    points = outline(number for point in plain["points"] for number in _pair(point))
    if len(points) < LEAST[kind]:
        return LINES if kind == "polygon" and len(points) == 2 else POINTS
    if not name.strip():
        return NAMELESS
    known = None if name == IGNORED else name
    if kind == "mask":
        return Shape(known, "masks", mask=_mask(plain["mask"], points))
    if kind == "circle":
        points = circle(*points[:2])
    if kind == "rectangle":
        points = rectangle(points)
    return Shape(known, f"{kind.replace('_', ' ')}s", (points,))


def _pair(point: Any) -> Sequence[float]:
    if not (isinstance(point, list) and len(point) == 2 and all(type(n) in (int, float) for n in point)):
        raise TypeError(f"a point must be [x, y]. Received: {storage.shown(json.dumps(point))}")
    return point


def _mask(text: Any, corners: np.ndarray) -> Callable[[tuple[int, int]], np.ndarray]:
    """Reads a mask, a PNG in base 64 whose upper left pixel is the first corner."""
    if not isinstance(text, str):
        raise TypeError("a mask must be a PNG in base 64")
    left, top = corners.min(0).astype(int)

    def within(size: tuple[int, int]) -> np.ndarray:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            part = np.asarray(image) > 0
        whole = np.zeros(size, bool)
        rows, columns = (slice(max(start, 0), max(start + n, 0)) for start, n in zip((top, left), part.shape))
        view = whole[rows, columns]
        view |= part[max(-top, 0) :, max(-left, 0) :][: view.shape[0], : view.shape[1]]
        return whole

    return within


def _embedded(file: Path) -> Callable[[], bytes]:
    """Reads the photograph that a file holds."""

    def content() -> bytes:
        text = storage.read_json(file, DataError)["imageData"]
        try:
            return base64.b64decode(text, validate=True)
        except (ValueError, TypeError):
            raise DataError(f"{file}: its imageData must be an image in base 64.") from None

    return content
