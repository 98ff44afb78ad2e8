"""Files as Datumaro wants them, in a temporary folder.

Datumaro 1.13 reads COCO only below `annotations/`, takes category 0 for none, which is Label Studio's first, leaves out
an object for one bad part, and takes `[` in a path for a pattern and `#` before a name for a comment. So the
photographs get numbers for names here, and their own are kept aside.

Sources: https://cocodataset.org/#format-data, https://docs.cvat.ai/docs/dataset_management/formats/xml_format,
https://open-edge-platform.github.io/datumaro/latest/docs/data-formats/formats/datumaro.html.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ass_tf.annotations.labelme_xml import parse
from ass_tf.annotations.shapes import BOXES, BROKEN, FARTHEST, HOMELESS, LINES, MISFIT, NAMELESS, TAGS
from ass_tf.datasets import DataError
from ass_tf.system import storage

SIDES = "height", "width"
UNREAD = {"cuboid": "cuboids", "skeleton": "skeletons"}  # tags of CVAT that Datumaro leaves out, or stumbles over
IMAGES, MASKS = "JPEGImages", "SegmentationClass"  # folders of Pascal VOC beside each other


@dataclasses.dataclass(frozen=True, eq=False)
class Staged:
    """What Datumaro is to read.

    Attributes:
        path: a folder or file.
        plugin: Datumaro's name of the format.
        file: that the user knows, for messages.
        stated: id that Datumaro gives an item -> name of its photograph in the file; where it is missing, the item's.
        stretched: as `Picture.stretched`.
    """

    path: Path
    plugin: str
    file: Path
    stated: Mapping[str, str]
    stretched: bool = False


def _coco(files: Sequence[Path], stage: Path, dropped: collections.Counter[str]) -> Staged:
    """Stages a COCO file: instances with polygons and RLE, as COCO, CVAT, Label Studio and others write them.

    Args:
        files: the JSON file.
        stage: an empty folder.
        dropped: counts annotations that are not handed on.

    Raises:
        DataError: the file does not hold images, annotations and categories, or an id is there twice.
    """
    (file,) = files
    content = storage.read_json(file, DataError)
    try:
        images = _by_id(content["images"], "file_name")
        categories = _by_id(content["categories"], "name")
        names = {name: n for n, name in enumerate(dict.fromkeys(c["name"] for c in categories.values()), 1)}
        numbers = {key: n for n, key in enumerate(images, 1)}
        sizes = {key: [image.get(side) for side in SIDES] for key, image in images.items()}
        annotations: list[dict[str, Any]] = []
        for annotation in content["annotations"]:
            image, category = str(annotation["image_id"]), str(annotation.get("category_id"))
            if image not in images or category not in categories:
                dropped[HOMELESS if image not in images else NAMELESS] += 1
            elif area := _area(annotation, sizes[image], dropped):
                # The ids are in the order of the file, which Datumaro reverses.
                ids = {"id": len(annotations) + 1, "image_id": numbers[image]}
                kind = {"category_id": names[categories[category]["name"]], "iscrowd": 0}
                annotations.append({**ids, **kind, "segmentation": area, "bbox": []})
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, LookupError) else str(error)
        raise DataError(f"{file}: no COCO file: {what}.") from None
    made = {
        "images": [{"id": n, "file_name": f"{n}.png", **_stated(sizes[key])} for key, n in numbers.items()],
        "categories": [{"id": n, "name": name} for name, n in names.items()],
        "annotations": annotations,
    }
    (stage / "images").mkdir()
    path = _write(made, stage / "annotations/instances_default.json")
    contributor = (content.get("info") or {}).get("contributor") if isinstance(content.get("info"), dict) else ""
    stated = {str(n): images[key]["file_name"].replace("\\", "/") for key, n in numbers.items()}
    return Staged(path, "coco_instances", file, stated, stretched=str(contributor).startswith("Label Studio"))


def _by_id(listed: Sequence[Mapping[str, Any]], key: str) -> dict[str, Mapping[str, Any]]:
    """Entries by their ids, some of which are texts in one place and numbers in another.

    Raises:
        TypeError: the entry of a key is no text.
        ValueError: an id stands for two things.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for entry in listed:
        if not isinstance(entry, dict):
            raise TypeError(f"an entry with a {key} must be an object. Received: {storage.shown(json.dumps(entry))}")
        if not isinstance(entry[key], str):
            raise TypeError(f"{key} must be text. Received: {storage.shown(json.dumps(entry[key]))}")
        other = found.setdefault(str(entry["id"]), entry)
        if other[key] != entry[key]:
            both = f"{storage.shown(other[key])} and {storage.shown(entry[key])}"
            raise ValueError(f"id {entry['id']} must stand for one {key}. Received: {both}")
    return found


def _stated(size: list[Any]) -> dict[str, int]:
    """Entries of an image that say its size; none where the file does not say it."""
    return dict(zip(SIDES, size)) if all(type(side) is int and side > 0 for side in size) else {}


def _area(annotation: Mapping[str, Any], size: list[Any], dropped: collections.Counter[str]) -> Any:
    """An object's run lengths, or its polygons that can be read; nothing where it has no area, which is counted."""
    given = annotation.get("segmentation")
    if isinstance(given, dict) and given:
        if _stated(size) and given.get("size") != size:
            dropped[MISFIT] += 1
            return None
        return given
    parts = [part for part in given if part != []] if isinstance(given, list) else given
    if not parts:
        dropped[BOXES if annotation.get("bbox") else TAGS] += 1
        return None
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        dropped[BROKEN] += 1
        return None
    read = [part for part in parts if all(type(n) in (int, float) and abs(n) <= FARTHEST for n in part)]
    polygons = [part for part in read if len(part) >= 6 and len(part) % 2 == 0]
    lines = sum(len(part) == 4 for part in read)
    dropped[LINES] += lines
    dropped[BROKEN] += len(parts) - len(polygons) - lines
    return polygons


def _write(content: Any, path: Path) -> Path:
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _datumaro(files: Sequence[Path], stage: Path, dropped: collections.Counter[str]) -> Staged:
    """Stages a file of Datumaro's own, as `_coco`."""
    (file,) = files
    content, stated = storage.read_json(file, DataError), {}
    for n, item in enumerate(content["items"], 1):
        if not isinstance(item, dict):
            raise DataError(f"{file}: items must be objects. Received: {storage.shown(json.dumps(item))}.")
        image = item["image"] if isinstance(item.get("image"), dict) else {}
        stated[str(n)] = f"{file.stem}/{image.get('path') or item.get('id', n)}".replace("\\", "/")
        item["id"] = str(n)
        if image:
            image["path"] = f"{n}.png"
    _write(content, stage / "annotations/default.json")
    return Staged(stage, "datumaro", file, stated)


def _cvat(files: Sequence[Path], stage: Path, dropped: collections.Counter[str]) -> Staged:
    """Stages "CVAT for images", or the tracks of "CVAT for video", as `_coco`.

    Raises:
        DataError: the file is no XML, or an ellipse has no numbers.
    """
    (file,) = files
    tree = parse(file)
    root, stated = tree.getroot(), {}
    (stage / "images").mkdir()
    for n, image in enumerate(root.iter("image"), 1):
        stated[str(n)] = "/".join(filter(None, (image.attrib.pop("subset", ""), image.get("name", ""))))
        image.set("id", str(n))  # those of a project's tasks are not unique
        image.set("name", f"{n}.png")
        (stage / f"images/{n}.png").touch()  # Datumaro asks whether it is there, and no more
    for parent in (*root.iter("image"), *root.iter("track")):
        for shape in list(parent):
            if shape.tag in UNREAD or (shape.tag == "mask" and not _is_filled(shape, parent)):
                parent.remove(shape)
                dropped[UNREAD.get(shape.tag, BROKEN)] += 1
            elif shape.tag == "ellipse":
                _as_polygon(shape, file)  # Datumaro leaves ellipses out, too
    for meta in root.iter("meta"):
        for part in (*meta.findall("job"), *meta.findall("project")):
            part.tag = "task"  # Datumaro knows no jobs, and takes a project apart by subsets
    path = stage / "default.xml"
    tree.write(path, encoding="utf-8")
    return Staged(path, "cvat", file, stated)


def _as_polygon(ellipse: Any, file: Path, corners: int = 180) -> None:
    """Makes CVAT's ellipse a polygon; its rotation is in degrees, clockwise."""
    try:
        x, y, a, b, turn = (float(ellipse.get(key, 0)) for key in ("cx", "cy", "rx", "ry", "rotation"))
    except ValueError:
        raise DataError(f"{file}: an ellipse must have numbers for cx, cy, rx and ry.") from None
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    angles = (2 * math.pi * n / corners for n in range(corners))
    rim = ((a * math.cos(angle), b * math.sin(angle)) for angle in angles)
    ellipse.tag = "polygon"
    ellipse.set("points", ";".join(f"{x + u * cos - v * sin:.2f},{y + u * sin + v * cos:.2f}" for u, v in rim))


def _is_filled(mask: Any, image: Any) -> bool:
    """Whether CVAT's mask lies within its image and its run lengths fill it, which Datumaro does not ask.

    Datumaro reads no masks of tracks, which do not say how large their image is.
    """
    try:
        left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in mask.get("rle", "").split(",")]
        inside = (
            min(left, top) >= 0 and left + width <= int(image.get("width")) and top + height <= int(image.get("height"))
        )
        return inside and min(runs) >= 0 and sum(runs) == width * height
    except (TypeError, ValueError):
        return False


def masks_above(file: Path) -> Path:
    """The folder of Pascal VOC's masks that holds one, at any depth."""
    return next((folder for folder in file.parents if folder.name == MASKS), file.parent)


def _voc(files: Sequence[Path], stage: Path, dropped: collections.Counter[str]) -> Staged:
    """Stages the masks of a Pascal VOC, as `_coco`.

    With the masks of objects, Datumaro would give each object the class of one of its pixels.
    """
    masks, stated = masks_above(files[0]), {}
    for name in ("labelmap.txt", "dataset_meta.json"):
        if (masks.parent / name).exists():
            shutil.copyfile(masks.parent / name, stage / name)
    (stage / MASKS).mkdir()
    for n, file in enumerate(files, 1):
        shutil.copyfile(file, stage / MASKS / f"{n}.png")  # Datumaro refuses links to other folders
        stated[str(n)] = (IMAGES / file.relative_to(masks).with_suffix("")).as_posix()
    (stage / "ImageSets/Segmentation").mkdir(parents=True)
    (stage / "ImageSets/Segmentation/all.txt").write_text("".join(f"{n}\n" for n in stated), encoding="utf-8")
    return Staged(stage, "voc_segmentation", masks, stated)


Stage = Callable[[Sequence[Path], Path, collections.Counter[str]], Staged]
FORMS: Mapping[str, Stage] = {"coco": _coco, "cvat": _cvat, "datumaro": _datumaro, "voc": _voc}
