"""A domain's files: opened as Pillow images, and all of them checked before a run begins; and text written whole.

Images come out as upright RGB and labels as raw ids, whatever the file's packing. Which files a data set has is left to
`datasets`, resizing and batches to `pipeline`.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ass_tf import labels

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
        DataError: the file is no image, is truncated, or holds more than 8 bits of grey.
    """
    with _decoding(path), Image.open(path) as image:
        if image.mode[0] in "IF":
            raise DataError(f"{path}: an image must hold 8 bits a channel. Received: mode {image.mode}.")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image if image.mode == "RGB" else image.convert("RGB")


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


def _inspect(pair: Pair, domain: Domain) -> tuple[int, int]:
    """(height, width) of a pair; DataError if it cannot be used."""
    width, height = open_image(pair.image).size
    if pair.label is not None:
        label = open_label(pair.label, domain.dataset)
        if abs(label.width * height - width * label.height) > SKEW * width * label.height:
            rule = f"must have the proportions of its image {pair.image}, {height} x {width}"
            raise DataError(f"{pair.label}: a label {rule}. Received: {label.height} x {label.width}.")
        raw_ids = np.unique(label) if label.mode == "I;16" else np.flatnonzero(label.histogram())
        outside = raw_ids[domain.table[raw_ids] == labels.OUTSIDE]
        if outside.size:
            raise DataError(f"{pair.label}: an id must be in the class map. Received: {outside.tolist()}.")
    return height, width


def _cache_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ass_tf" / "checked.json"


def _remembered() -> dict[str, Any]:
    try:
        known = json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(known: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        file = _cache_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:
            json.dump(known, new)
        os.replace(new.name, file)


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
        DataError: a line for each of the first ten files that cannot be used, and the number of the others.
    """
    work: dict[tuple[str, ...], tuple[Pair, Domain]] = {}
    labelled = {pair.image for domain in domains.values() for pair in domain.pairs if pair.label}
    for domain in domains.values():
        digest = hashlib.sha256(domain.table.tobytes()).hexdigest()[:16]
        for pair in domain.pairs:
            if pair.label or pair.image not in labelled:
                key = (str(pair.image.absolute()), str(pair.label and pair.label.absolute()), domain.dataset, digest)
                work[key] = (pair, domain)

    def look(item: tuple[tuple[str, ...], tuple[Pair, Domain]]) -> tuple[str, list[Any], str | None]:
        key, (pair, domain) = "|".join(item[0]), item[1]
        try:
            files = [file.stat() for file in (pair.image, pair.label) if file]
            stamp = [number for stat in files for number in (stat.st_size, stat.st_mtime_ns)]
            if isinstance(known.get(key), list) and len(known[key]) == 3 and known[key][0] == stamp:
                return key, known[key], None
            return key, [stamp, *_inspect(pair, domain)], None
        except DataError as error:
            return key, [], str(error)
        except OSError as error:
            return key, [], f"{error.filename}: {error.strerror}."

    known, good, flaws, size_of = _remembered(), {}, [], {}
    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (item, (key, entry, flaw)) in enumerate(zip(work.items(), pool.map(look, work.items())), 1):
                if flaw is None:
                    good[key] = entry
                    size_of[item[1][0].image] = tuple(entry[1:])
                else:
                    flaws.append(flaw)
                if progress is not None:
                    progress(done, len(work))
    finally:
        if any(known.get(key) != entry for key, entry in good.items()):
            _remember({**known, **good})
    if flaws:
        more = [f"and {len(flaws) - 10} more files."] if len(flaws) > 10 else []
        raise DataError("\n".join(flaws[:10] + more))
    return {role: collections.Counter(size_of[p.image] for p in domain.pairs) for role, domain in domains.items()}


def write_text(path: str | Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # other machines may write the same file
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def as_json(content: Any) -> str:
    """A text for `write_text`: indented, but with a row of numbers on one line.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, allow_nan=False)
    return re.sub(r"\[\n[\d\s,.]+\]", lambda row: " ".join(row[0].split()), text) + "\n"
