"""Which tool wrote the files of a folder, and what they say."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ass_tf.annotations import by_datumaro, labelme
from ass_tf.annotations.shapes import Annotated
from ass_tf.datasets import DataError
from ass_tf.datasets.finding import walk
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
}


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


def _json_files(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The JSON files of each kind that is known."""
    found: dict[str, list[Path]] = {}
    for file in files:
        kind = kind_of(storage.read_json(file, DataError, kind=None)) if file.suffix.lower() == ".json" else None
        if kind is not None:
            found.setdefault(kind, []).append(file)
    return found


def _other_files(source: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """The XML files of each format that may be there, or none of Pascal VOC's, by Datumaro's detection."""
    xml = [file for file in files if file.suffix.lower() == ".xml"]
    if not xml and not any("ImageSets" in file.parts for file in files):
        return {}
    by_datumaro.demand()
    if source.is_dir():
        return dict.fromkeys(by_datumaro.detect(source), xml)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / source.name).symlink_to(source.resolve())
        return dict.fromkeys(by_datumaro.detect(Path(folder)), xml)


def _detect(source: Path, form: str | None) -> tuple[str, list[Path]]:
    """The format, and its files."""
    if source.is_file() and source.suffix.lower() not in (".json", ".xml"):
        raise DataError(f"{source}: SOURCE must be a folder, a .json or an .xml file; unpack an archive first.")
    files = [source / name for name in walk(source)] if source.is_dir() else [source]
    xml = [file for file in files if file.suffix.lower() == ".xml"]
    if form == "voc" or (form is not None and form in by_datumaro.DETECTED.values() and xml):
        return form, xml  # Pascal VOC may have none
    found = _json_files(files)
    if form is None:
        found |= _other_files(source, files)
    if form is not None and form in found:
        return form, found[form]
    if form is None and len(found) > 1:
        both = " and ".join(f"{kind} ({one[0]})" if one else kind for kind, one in found.items())
        raise DataError(f"{source}: --format must say which of several formats is meant. Received: {both}.")
    for kind, one in found.items():
        if kind in UNREAD:
            raise DataError(f"{one[0]}: {UNREAD[kind]}.")
        if form is None:
            return kind, one
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
    if form in ("labelme-xml", "voc") and not source.is_dir():
        raise DataError(f"{source}: SOURCE must be the folder of the whole data set, for {FORMATS[form]}.")
    with by_datumaro.open_all(form, FORMATS[form], source, files) as annotated:
        yield annotated
