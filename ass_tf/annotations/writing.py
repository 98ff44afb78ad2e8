"""From annotations to a data set of the layout `folder`: photographs, label PNGs, classes.json and lists."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ass_tf import labels
from ass_tf.annotations.matching import DAMAGED, Tally, collect, match
from ass_tf.annotations.painting import paint
from ass_tf.annotations.photographs import Photographs, Stored, stored
from ass_tf.annotations.shapes import Annotated, Picture
from ass_tf.datasets import DataError
from ass_tf.datasets.decoding import SKEW
from ass_tf.system import storage
from street_inference import images

MOST = 255  # classes; id 255 is that of ignored pixels
OTHER_SIZE = "annotations made for another shape of their photograph"


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the user decides.

    Attributes:
        by_area: whether smaller shapes lie above larger ones of their layer; else later above earlier.
        fill: class of the pixels that no shape covers; None: they are ignored.
        validation: number of labelled photographs to set aside.
    """

    by_area: bool = True
    fill: str | None = None
    validation: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Written:
    """What was written.

    Attributes:
        names: of the classes, in the order of their ids.
        photographs: number.
        labelled: names of the labelled ones that are to be learnt from.
        validation: names of those set aside.
        pixels: int64 (256,), by id.
        shapes: how each painted shape was drawn -> number.
        objects: class -> number of its shapes.
        dropped: what was left out -> number.
        examples: the same -> names, of what is counted of photographs.
    """

    names: tuple[str, ...]
    photographs: int
    labelled: list[str]
    validation: list[str]
    pixels: np.ndarray
    shapes: collections.Counter[str]
    objects: collections.Counter[str]
    dropped: collections.Counter[str]
    examples: dict[str, list[str]]


def _turned(picture: Picture, how: Stored) -> Picture | None:
    """A picture with the size that its shapes are for, if that is one of its photograph's, else None.

    Tools show a photograph upright. Some state its size as it is stored.
    """
    size = picture.size or how.size
    if size[0] * size[1] > images.MAX_PIXELS:
        return None
    if picture.stretched and size == _lying(how) != how.size:
        scale = how.size[1] / size[1], how.size[0] / size[0]
        shapes = tuple(
            dataclasses.replace(shape, outlines=tuple(outline * scale for outline in shape.outlines))
            for shape in picture.shapes
        )
        return dataclasses.replace(picture, shapes=shapes, size=how.size)
    fits = abs(size[1] * how.size[0] - how.size[1] * size[0]) <= SKEW * size[0] * how.size[1]
    return dataclasses.replace(picture, size=size) if fits or size == _lying(how) else None


def _lying(how: Stored) -> tuple[int, int]:
    """(h, w) of a photograph as its file stores it."""
    return how.size[::-1] if how.orientation in images.ACROSS else how.size


def check_out(out: Path) -> None:
    """Refuses a folder that is there, or cannot be made."""
    storage.check_folder(out, "--out", DataError)
    if os.path.lexists(out):
        raise DataError(f"{out}: --out must name a new folder. Received: one that is there.")


class _Painter:
    """Writes one label after the other, and counts what is in them.

    Args:
        names: of the classes, in the order of their ids.
        rules: Rules.
        lost: counts shapes that have no pixel.

    Attributes:
        pixels: int64 (256,), by id.
        shapes: as `Written.shapes`.
        objects: as `Written.objects`.
    """

    def __init__(self, names: Sequence[str], rules: Rules, lost: collections.Counter[str]) -> None:
        self._ids: dict[str | None, int] = {None: labels.IGNORE, **{name: n for n, name in enumerate(names)}}
        self._uncovered = self._ids[rules.fill]
        self._palette = labels.colours(names).ravel().tolist()
        self._by_area, self._lost = rules.by_area, lost
        self.pixels = np.zeros(256, np.int64)
        self.shapes: collections.Counter[str] = collections.Counter()
        self.objects: collections.Counter[str] = collections.Counter()

    def write(self, picture: Picture, how: Stored, path: Path) -> bool:
        """Writes the label of an upright photograph, ids as a palette PNG, so that viewers show colours.

        Returns:
            written: False, and nothing is, where no shape has a pixel.
        """
        size = picture.size or how.size
        label, painted = paint(picture.shapes, size, self._ids, self._uncovered, self._by_area, self._lost)
        if not painted:
            return False
        if size != how.size and size == _lying(how):
            label = np.asarray(Image.fromarray(label).transpose(images.TURNS[how.orientation]))
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(label, "P")
        image.putpalette(self._palette)
        image.save(path)
        self.pixels += np.bincount(label.ravel(), minlength=256)
        self.shapes.update(shape.kind for shape in painted)
        self.objects.update(shape.name for shape in painted if shape.name is not None)
        return True


def write(
    annotated: Annotated,
    source: Path,
    out: Path,
    folder: Path | None = None,
    rules: Rules = Rules(),
    advance: Callable[[int, int], None] | None = None,
) -> Written:
    """Writes the data set, whole or not at all.

    Args:
        annotated: Annotated.
        source: as `reading.read` takes it.
        out: the folder to write, a new one.
        folder: of the photographs; None: as `collect`.
        rules: Rules.
        advance: called with the number of photographs done and of all.

    Returns:
        written: Written.

    Raises:
        DataError: the folder is there, there are no photographs, no shape has an area, there are too many classes, or
            fewer labels than are to be set aside.
        OSError: a file cannot be written.
    """
    check_out(out)
    found = collect(annotated, source, folder)
    part = out.absolute().with_name(f".{out.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        (part / "images").mkdir(parents=True)
        (part / "labels").mkdir()
        written = _fill(annotated, source, found, part, rules, advance or (lambda done, total: None))
        os.rename(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def _fill(
    annotated: Annotated,
    source: Path,
    found: Photographs,
    part: Path,
    rules: Rules,
    advance: Callable[[int, int], None],
) -> Written:
    """`write`, into a folder that is there."""
    tally = Tally(annotated.dropped)
    matched = match(annotated, found, source, part / "images", tally)
    names = _names(annotated, matched.values(), rules.fill, source)
    painter = _Painter(names, rules, tally.dropped)
    labelled, copied = [], 0
    for done, (name, path) in enumerate(sorted(found.files.items()), 1):
        advance(done, len(found.files))
        try:
            how = stored(path)
        except DataError:
            tally.add(DAMAGED, name)
            continue
        copied += 1
        if not path.is_relative_to(part):
            _copy(path, part / "images" / f"{name}{path.suffix}")
        if name not in matched:
            continue
        picture = _turned(matched[name], how)
        if picture is None:
            tally.add(OTHER_SIZE, name)
        elif painter.write(picture, how, part / "labels" / f"{name}.png"):
            labelled.append(name)
    if not labelled:
        dropped = ", ".join(f"{what}: {n}" for what, n in sorted(tally.dropped.items()) if n) or "none"
        raise DataError(f"{source}: some photograph must have a shape with an area. Received: {dropped}.")
    learnt, validation = set_aside(labelled, rules.validation, source)
    _write_lists(part, names, learnt, validation)
    counts = painter.pixels, painter.shapes, painter.objects, tally.dropped, tally.examples
    return Written(tuple(names), copied, learnt, validation, *counts)


def _names(annotated: Annotated, pictures: Iterable[Picture], fill: str | None, source: Path) -> list[str]:
    """The classes that have shapes, in the order of their ids; that of uncovered pixels comes last if it has none."""
    used = {shape.name for picture in pictures for shape in picture.shapes}
    names = [name for name in annotated.names if name in used]
    if fill is not None and fill not in names:
        names.append(fill)
    if wrong := [name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name)]:
        raise DataError(f"{source}: names of classes must be UTF-8. Received: {storage.shown(wrong[0])}.")
    if len(names) > MOST:
        raise DataError(f"{source}: must have at most {MOST} classes. Received: {len(names)}.")
    return names


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


def set_aside(labelled: Sequence[str], count: int, source: Path) -> tuple[list[str], list[str]]:
    """The names, but without `count` of them, evenly spread; and these.

    Raises:
        DataError: none would be left.
    """
    if count >= len(labelled):
        rule = f"--validation must be less than {len(labelled)}, the photographs with a label"
        raise DataError(f"{source}: {rule}. Received: {count}.")
    aside = [labelled[(2 * n + 1) * len(labelled) // (2 * count)] for n in range(count)]
    return sorted(set(labelled) - set(aside)), aside


def _write_lists(part: Path, names: Sequence[str], learnt: Sequence[str], validation: Sequence[str]) -> None:
    meanings = {**{str(n): name for n, name in enumerate(names)}, str(labels.IGNORE): None}
    (part / "classes.json").write_text(json.dumps(meanings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for file, lines in (("labelled.txt", learnt), ("validation.txt", validation)):
        if lines:
            (part / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
