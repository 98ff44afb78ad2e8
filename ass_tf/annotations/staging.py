"""Files of COCO, CVAT and Pascal VOC as Datumaro wants them, in a temporary folder.

Datumaro 1.13 reads COCO only below `annotations/`, takes category 0 for none, which is Label Studio's first, and reads
neither CVAT nor paths of photographs that are elsewhere. So the photographs get numbers for names here, and their own
are kept aside.

Sources: https://cocodataset.org/#format-data, https://docs.cvat.ai/docs/dataset_management/formats/xml_format.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ass_tf.annotations.shapes import BROKEN, HOMELESS, LINES, MISFIT, NAMELESS
from ass_tf.datasets import DataError
from ass_tf.system import storage

SIDES = "height", "width"
COUNTED: Mapping[str, Any] = {"segmentation": [], "bbox": []}  # of an object that is counted as dropped already
UNREAD = {"cuboid": "cuboids", "skeleton": "skeletons"}  # tags of CVAT that Datumaro leaves out


@dataclasses.dataclass(frozen=True, eq=False)
class Staged:
    """What Datumaro is to read.

    Attributes:
        path: a folder or file.
        plugin: Datumaro's name of the format.
        file: that the user knows, for messages.
        stated: id that Datumaro gives an item -> name of its photograph in the file; where it is missing, the item's.
        options: of the plugin.
        stretched: as `Picture.stretched`.
    """

    path: Path
    plugin: str
    file: Path
    stated: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    stretched: bool = False


def coco(file: Path, stage: Path, dropped: collections.Counter[str]) -> Staged:
    """Stages a COCO file: instances with polygons and RLE, as COCO, CVAT, Label Studio and others write them.

    Args:
        file: the JSON file.
        stage: an empty folder.
        dropped: counts annotations that cannot be handed on.

    Raises:
        DataError: the file does not hold images, annotations and categories.
    """
    content = storage.read_json(file, DataError)
    try:
        images = {str(image["id"]): (n, image) for n, image in enumerate(content["images"], 1)}
        names = list(dict.fromkeys(str(category["name"]) for category in content["categories"]))
        known = {category["id"]: names.index(str(category["name"])) + 1 for category in content["categories"]}
        stated = {str(n): str(image["file_name"]).replace("\\", "/") for n, image in images.values()}
        sizes = {n: [image.get(key) for key in SIDES] for n, image in images.values()}
        annotations: list[dict[str, Any]] = []
        for annotation in content["annotations"]:
            number, _ = images.get(str(annotation["image_id"]), (None, None))
            if number is None or annotation.get("category_id") not in known:
                dropped[HOMELESS if number is None else NAMELESS] += 1
                continue
            # The ids are in the order of the file, which Datumaro reverses.
            given = {"id": len(annotations) + 1, "image_id": number, "category_id": known[annotation["category_id"]]}
            found = {"iscrowd": int(bool(annotation.get("iscrowd"))), "bbox": annotation.get("bbox") or []}
            area = _segmentation(annotation.get("segmentation"), sizes[number], dropped)
            annotations.append({**given, **found, **area})
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, LookupError) else str(error)
        raise DataError(f"{file}: no COCO file: {what}.") from None
    made = {
        "images": [{"id": n, "file_name": f"{n}.png", **_stated(sizes[n])} for n in sizes],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, 1)],
        "annotations": annotations,
    }
    (stage / "images").mkdir()
    (stage / "annotations").mkdir()
    path = stage / "annotations/instances_default.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    contributor = (content.get("info") or {}).get("contributor") if isinstance(content.get("info"), dict) else ""
    return Staged(path, "coco_instances", file, stated, stretched=str(contributor).startswith("Label Studio"))


def _stated(size: list[Any]) -> dict[str, int]:
    """Entries of an image that say its size; none where the file does not say it."""
    return dict(zip(SIDES, size)) if all(type(side) is int and side > 0 for side in size) else {}


def _segmentation(given: Any, size: list[Any], dropped: collections.Counter[str]) -> Mapping[str, Any]:
    """Entries of an object: its segmentation without what would make Datumaro leave out the whole object or more."""
    if isinstance(given, dict):
        if _stated(size) and given.get("size") != size:
            dropped[MISFIT] += 1
            return COUNTED
        return {"segmentation": given}
    points = given if isinstance(given, list) else []
    kept = [part for part in points if isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0]
    for part in points:
        if part and part not in kept:
            dropped[LINES if isinstance(part, list) and len(part) == 4 else BROKEN] += 1
    if kept or not any(points):
        return {"segmentation": kept}
    return COUNTED


def parse(file: Path) -> Any:
    """The tree of an XML file; DataError, which names it, if it is none."""
    from defusedxml import ElementTree  # comes with Datumaro

    try:
        return ElementTree.parse(file)
    except Exception as error:  # entities that it refuses have errors of their own
        raise DataError(f"{file}: no valid XML: {str(error).splitlines()[0]}.") from None


def labelme_xml(source: Path, files: Iterable[Path]) -> Staged:
    """The files of LabelMe's web tool as they are, of which Datumaro would not say which one is damaged."""
    for file in files:
        parse(file)
    return Staged(source, "label_me", source)


def cvat(file: Path, stage: Path, dropped: collections.Counter[str]) -> Staged:
    """Stages "CVAT for images", or the tracks of "CVAT for video".

    Args:
        file: the XML file.
        stage: an empty folder.
        dropped: counts the shapes that Datumaro leaves out.

    Raises:
        DataError: the file is no XML of CVAT.
    """
    tree = parse(file)
    root, stated = tree.getroot(), {}
    (stage / "images").mkdir()
    for n, image in enumerate(root.iter("image"), 1):
        stated[str(n)] = "/".join(filter(None, (image.attrib.pop("subset", ""), image.get("name", ""))))
        image.set("id", str(n))  # those of a project's tasks are not unique
        image.set("name", f"{n}.png")
        (stage / f"images/{n}.png").touch()  # Datumaro asks whether it is there, and no more
        for mask in [mask for mask in image.iter("mask") if not _is_filled(mask)]:
            image.remove(mask)
            dropped[BROKEN] += 1
    for ellipse in root.iter("ellipse"):
        _as_polygon(ellipse, file)  # Datumaro leaves ellipses out, too
    for tag, kind in UNREAD.items():
        dropped[kind] += sum(1 for _ in root.iter(tag))
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


def _is_filled(mask: Any) -> bool:
    """Whether the run lengths of CVAT's mask have the sum that they must have, which Datumaro does not ask."""
    try:
        runs = [int(run) for run in mask.get("rle", "").split(",")]
        return min(runs) >= 0 and sum(runs) == int(mask.get("width")) * int(mask.get("height"))
    except (TypeError, ValueError):
        return False


def voc(source: Path, stage: Path) -> Staged:
    """Stages Pascal VOC: the class masks, whole, or where there are none what Datumaro finds.

    With the masks of objects, Datumaro would give each object the class of one of its pixels.

    Args:
        source: the folder that holds ImageSets, SegmentationClass and so on, or one above it.
        stage: an empty folder.
    """
    folders = [source, *(path.parent for depth in ("*", "*/*") for path in source.glob(f"{depth}/SegmentationClass"))]
    masks = next((path for path in folders if (path / "SegmentationClass").is_dir()), None)
    if masks is None:
        return Staged(source, "voc", source)
    for name in ("SegmentationClass", "labelmap.txt", "dataset_meta.json"):
        if (masks / name).exists():
            os.symlink((masks / name).resolve(), stage / name)
    names = sorted(path.stem for path in (masks / "SegmentationClass").glob("*.png"))
    (stage / "ImageSets/Segmentation").mkdir(parents=True)
    (stage / "ImageSets/Segmentation/all.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return Staged(stage, "voc_segmentation", masks)
