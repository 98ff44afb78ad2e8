"""A domain's files: opened as Pillow images, and all of them checked before a run begins.

Images come out as upright RGB and labels as raw ids, whatever the file's packing. Photographs are read as the inference
command reads them, by `street_inference.images`. Which files a data set has is left to `datasets`, resizing and batches
to `pipeline`.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ass_tf import labels
from ass_tf.system import storage
from street_inference import images

REMEMBERED = 90  # days that a checked file is remembered after it was last asked for
SKEW = 0.05  # by how much a label's proportions may differ; some of GTA5's frames miss a few rows


class DataError(ValueError):
    """Files that cannot be used; each line of the message names the file."""


@dataclasses.dataclass(frozen=True)
class Pair:
    name: str  # what list files hold
    image: Path
    label: Path | None


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    pairs: tuple[Pair, ...]  # sorted by name
    table: np.ndarray  # uint8 (65536,), raw id -> train id
    size: tuple[int, int]  # (height, width) that the network sees
    dataset: str
    raw_names: tuple[str, ...] = ()  # of the classes that its labels have
    label_folder: Path | None = None  # where labels were looked for,
    label_tail: str = ""  # and how their names end


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except Exception as error:  # a broken file makes Pillow raise errors of many kinds
        raise DataError(
            f"{path}: cannot be decoded: {str(error).splitlines()[0] if str(error) else error!r}."
        ) from None


def open_image(path: Path) -> Image.Image:
    """A decoded RGB image, upright if its EXIF data say how it was held.

    Raises:
        DataError: the file is no image, is truncated, or cannot be held.
    """
    try:
        return images.decode(path)
    except images.Unreadable as error:
        what = "" if not os.path.exists(path) else "cannot be decoded: "
        raise DataError(f"{path}: {what}{error}") from None
    except MemoryError:
        raise DataError(f"{path}: does not fit into memory.") from None


def open_label(path: Path, dataset: str) -> Image.Image:
    """A decoded label file whose pixels are raw ids.

    Args:
        path: the PNG: palette (the index is the id), grey of any depth, or SYNTHIA's three channels of 16 bits.
        dataset: as `Domain.dataset`.

    Returns:
        label: image of mode L, P or I;16.

    Raises:
        DataError: the file is no PNG, is truncated, or holds colours.
    """
    with _decoding(path), Image.open(path) as label:
        if label.format != "PNG":
            raise DataError(f"{path}: a label must be a PNG. Received: {label.format}.")
        packing = label.tile[0][3]
        if dataset == "synthia":
            if packing != "RGB;16B":
                raise DataError(f"{path}: a SYNTHIA label must hold three channels of 16 bits. Received: {packing}.")
            # Pillow would keep the high byte of each big-endian value; read as little-endian it keeps the id's.
            label.tile = [(*label.tile[0][:3], "RGB;16L")]
            return label.getchannel(0)
        if label.mode not in ("1", "L", "P", "I", "I;16"):
            raise DataError(f"{path}: a label must hold class ids, not colours. Received: mode {label.mode}.")
        label.load()
        if label.mode == "I":  # what Pillow before 11 makes of 16 bits
            return label.convert("I;16")
        # Pillow stretches grey of 1, 2 and 4 bits to 0..255.
        step = {"1": 255, "L;2": 85, "L;4": 17}.get(packing, 1)
        return label if step == 1 else label.convert("L").point([value // step for value in range(256)])


def read_image(path: Path) -> np.ndarray:
    """uint8 (h, w, 3) of `open_image`."""
    return np.asarray(open_image(path))


def read_label(path: Path, dataset: str) -> np.ndarray:
    """Raw ids, uint8 or uint16 (h, w), of `open_label`."""
    return np.asarray(open_label(path, dataset))


def _inspect(pair: Pair, domain: Domain) -> tuple[tuple[int, int], bool]:
    """(height, width) of a pair, and whether some pixel has a class; DataError if it cannot be used."""
    image, has_class = open_image(pair.image), False
    if pair.label is not None:
        label = open_label(pair.label, domain.dataset)
        check_proportions(pair, image, label)
        raw_ids = np.unique(label) if label.mode == "I;16" else np.flatnonzero(label.histogram())
        outside = raw_ids[domain.table[raw_ids] == labels.OUTSIDE]
        if outside.size:
            raise DataError(f"{pair.label}: an id must be in the class map. Received: {outside.tolist()}.")
        has_class = bool((domain.table[raw_ids] < labels.OUTSIDE).any())
    return (image.height, image.width), has_class


def check_proportions(pair: Pair, image: Image.Image, label: Image.Image) -> None:
    """Raises DataError if a label's proportions are not its image's, within SKEW."""
    if abs(label.width * image.height - image.width * label.height) > SKEW * image.width * label.height:
        rule = f"must have the proportions of its image {pair.image}, {image.height} x {image.width}"
        raise DataError(f"{pair.label}: a label {rule}. Received: {label.height} x {label.width}.")


@dataclasses.dataclass(frozen=True)
class Checked:
    """What is remembered of a sound pair of files."""

    stamp: tuple[int, ...]  # size and time of change of each file
    size: tuple[int, int]  # (height, width) of the image
    has_class: bool  # some pixel of the label has a class
    day: int  # of the last use


class Cache:
    """Pairs that were found sound, in a file that may be lost at any time."""

    def __init__(self) -> None:
        self.today = int(time.time() // 86400)
        self.changed = False
        with contextlib.suppress(RuntimeError):  # no home folder
            self.file = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ass_tf" / "checked.json"
        known = {}
        with contextlib.suppress(ValueError, AttributeError):
            known = storage.read_json(self.file)
        self.known = {key: entry for key, value in known.items() if (entry := _as_checked(value))}

    def get(self, key: str, stamp: tuple[int, ...]) -> Checked | None:
        entry = self.known.get(key)
        return entry if entry and entry.stamp == stamp else None

    def add(self, key: str, entry: Checked) -> None:
        if self.known.get(key) != entry:
            self.known[key], self.changed = entry, True

    def save(self) -> None:
        """Writes what is worth it: entries that were used in the last days."""
        if self.changed:
            kept = {k: dataclasses.asdict(e) for k, e in self.known.items() if self.today - e.day <= REMEMBERED}
            with contextlib.suppress(OSError, AttributeError):
                storage.write_text(self.file, json.dumps(kept))


def _as_checked(value: Any) -> Checked | None:
    """An entry of the cache's file; None of one that another version wrote."""
    try:
        entry = Checked(tuple(value["stamp"]), tuple(value["size"]), value["has_class"], value["day"])
    except (TypeError, LookupError):
        return None
    return entry if type(entry.day) is int and len(entry.size) == 2 else None


def _look(pair: Pair, domain: Domain, key: str, cache: Cache) -> Checked | str:
    """What is known of a pair, or its flaw."""
    try:
        stats = [file.stat() for file in (pair.image, pair.label) if file]
        stamp = tuple(number for stat in stats for number in (stat.st_size, stat.st_mtime_ns))
        known = cache.get(key, stamp)
        if known is not None:
            return dataclasses.replace(known, day=cache.today)
        return Checked(stamp, *_inspect(pair, domain), cache.today)
    except DataError as error:
        return str(error)
    except OSError as error:
        return storage.reason(error)


def check(
    domains: Mapping[str, Domain], progress: Callable[[int, int], None] | None = None
) -> dict[str, collections.Counter]:
    """Decodes every file once; those found good are remembered until they change.

    Args:
        domains: role -> Domain.
        progress: called with the number of images done and of all.

    Returns:
        sizes: role -> Counter of (height, width).

    Raises:
        DataError: a line for each of the first ten files that cannot be used, and the number of the others; or labels
            in which no pixel has a class.
    """
    work: dict[str, tuple[Pair, Domain]] = {}
    keys: dict[tuple[str, Path, Path | None], str] = {}
    labelled = {pair.image for domain in domains.values() for pair in domain.pairs if pair.label}
    for role, domain in domains.items():
        digest = hashlib.sha256(domain.table.tobytes()).hexdigest()[:16]
        for pair in domain.pairs:
            if pair.label or pair.image not in labelled:
                paths = (str(pair.image.absolute()), str(pair.label and pair.label.absolute()))
                key = keys[role, pair.image, pair.label] = "|".join((*paths, domain.dataset, digest))
                work[key] = (pair, domain)
    found, flaws, cache = {}, [], Cache()
    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            looks = pool.map(lambda item: _look(*item[1], item[0], cache), work.items())
            for done, (key, look) in enumerate(zip(work, looks), 1):
                if isinstance(look, str):
                    flaws.append(look)
                else:
                    found[key] = look
                if progress is not None:
                    progress(done, len(work))
    finally:
        for key, entry in found.items():
            cache.add(key, entry)
        cache.save()
    if flaws:
        more = [f"and {len(flaws) - 10} more files."] if len(flaws) > 10 else []
        raise DataError("\n".join(flaws[:10] + more))
    for role in domains:
        with_labels = [found[key].has_class for (of, _, label), key in keys.items() if of == role and label]
        if with_labels and not any(with_labels):
            raise DataError(f"{role}: every pixel of every label is ignored; some id must stand for one of classes.")
    size_of = {work[key][0].image: entry.size for key, entry in found.items()}
    return {role: collections.Counter(size_of[p.image] for p in domain.pairs) for role, domain in domains.items()}
