"""Which tool wrote the files of a folder, and what they say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ass_tf.annotations import by_datumaro, labelme, labelme_xml
from ass_tf.annotations.photographs import files_below
from ass_tf.annotations.shapes import Annotated
from ass_tf.annotations.staging import MASKS
from ass_tf.datasets import DataError
from ass_tf.system import storage

FORMATS = {
    "labelme": "LabelMe, JSON",
    "labelme-xml": "LabelMe, XML of its web tool",
    "coco": "COCO",
    "cvat": "CVAT, XML",
    "voc": "Pascal VOC",
    "datumaro": "Datumaro",
}
UNREAD = {  # what is recognised and not read
    "label-studio": (
        'Label Studio must export polygons as "COCO", brush masks as "Brush labels to COCO". Received: its own JSON'
    ),
    "coco-panoptic": "a COCO file must hold instances. Received: the panoptic form",
    "voc-boxes": f"Pascal VOC must hold masks in {MASKS}. Received: boxes, which have no outline to paint",
}
XML = {  # what is in the files of each format, the first that fits
    "cvat": rb"<annotations[\s>]",
    "labelme-xml": rb"<annotation[\s>].*<(pt|segm|imagesize|sourceAnnotation)[\s/>]",
    "voc-boxes": rb"<annotation[\s>].*<(bndbox|segmented)[\s/>]",
}
HEAD = 2**16  # bytes of an XML file in which that is looked for


def kind_of(content: Any) -> str | None:
    """Which of the formats the content of a JSON file has, by its keys."""
    if labelme.is_one(content):
        return "labelme"
    if isinstance(content, list):
        first = content[0] if content and isinstance(content[0], dict) else {}
        own = {"data", "annotations"}, {"data", "completions"}, {"annotation_id", "annotator"}
        return "label-studio" if any(keys <= first.keys() for keys in own) else None
    if isinstance(content, dict) and isinstance(content.get("categories"), list | dict):
        if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
            first = content["annotations"][0] if content["annotations"] else {}
            return "coco-panoptic" if isinstance(first, dict) and "segments_info" in first else "coco"
        return "datumaro" if isinstance(content.get("items"), list) else None
    return None


def _kind_of_file(file: Path) -> str | None:
    """The same of a file of any sort."""
    suffix = file.suffix.lower()
    if suffix == ".json":
        return kind_of(storage.read_json(file, DataError, kind=None))
    if suffix == ".xml":
        with open(file, "rb") as stream:
            head = stream.read(HEAD)
        return next((kind for kind, held in XML.items() if re.search(held, head, re.DOTALL)), None)
    return "voc" if suffix == ".png" and MASKS in file.parts else None


def _detect(source: Path, form: str | None) -> tuple[str, list[Path]]:
    """The format, and its files."""
    if source.is_file() and source.suffix.lower() not in (".json", ".xml"):
        raise DataError(f"{source}: SOURCE must be a folder, a .json or an .xml file; unpack an archive first.")
    files = files_below(source) if source.is_dir() else [source]
    found: dict[str, list[Path]] = {}
    for file in files:
        if (kind := _kind_of_file(file)) is not None:
            found.setdefault(kind, []).append(file)
    fitting = [kind for kind in found if kind in FORMATS and form in (None, kind)]
    if len(fitting) > 1:
        both = " and ".join(f"{kind} ({found[kind][0]})" for kind in fitting)
        raise DataError(f"{source}: --format must say which of several formats is meant. Received: {both}.")
    if fitting:
        return fitting[0], found[fitting[0]]
    for kind, rule in UNREAD.items():
        if kind in found:
            raise DataError(f"{found[kind][0]}: {rule}.")
    what = f"the format {form}" if form else "a known format"
    other = next((f" ({file} is none)" for file in files if file.suffix.lower() in (".json", ".xml")), "")
    raise DataError(f"{source}: holds no file of {what}{other}; known are {', '.join(FORMATS)}.")


@contextlib.contextmanager
def read(source: Path, form: str | None = None) -> Iterator[Annotated]:
    """What annotation files say; masks may be decoded as long as the context lasts.

    Args:
        source: a folder, searched at any depth, or a file.
        form: key of FORMATS; None: found by what is there.

    Yields:
        annotated: Annotated.

    Raises:
        DataError: there is no such file, its format is not known, several formats are there, a file cannot be read, or
            Datumaro is needed and not installed. The message is one line.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder.")
    form, files = _detect(source, form)
    if form == "labelme":
        yield labelme.read(files, source if source.is_dir() else source.parent)
        return
    by_datumaro.demand()
    if form == "labelme-xml":
        yield labelme_xml.read(files)
        return
    with by_datumaro.open_all(form, FORMATS[form], files) as annotated:
        yield annotated
