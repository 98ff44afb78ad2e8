"""Files as Pillow images: upright RGB, and labels whose pixels are raw ids, whatever the file's packing.

Photographs are read as the inference command reads them, by `street_inference.images`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from ass_tf import labels
from ass_tf.config.layouts import LAYOUTS
from ass_tf.datasets.domain import DataError, Domain, Pair
from street_inference import images

SKEW = 0.05  # by how much a label's proportions may differ; some of GTA5's frames miss a few rows


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """A label's PNG, open; errors of whatever is done with it name the file.

    Raises:
        DataError: the file is no PNG, cannot be decoded, or the context raised.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise DataError(f"{path}: is no ordinary file.")
        with Image.open(path) as label:
            if label.format != "PNG":
                raise DataError(f"{path}: a label must be a PNG. Received: {label.format}.")
            yield label
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except MemoryError:
        raise DataError(f"{path}: does not fit into memory.") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: cannot be decoded: is no image of a known format, or is damaged.") from None
    except Exception as error:  # a broken file makes Pillow raise errors of many kinds
        text = (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
        raise DataError(f"{path}: cannot be decoded: {text.splitlines()[0].rstrip('.')}.") from None


def open_image(path: Path) -> Image.Image:
    """A decoded RGB image, upright if its EXIF data say how it was held.

    Raises:
        DataError: the file is no image, is truncated, or cannot be held.
    """
    try:
        return images.decode(path)
    except images.Unreadable as error:
        what = "" if not os.path.exists(path) else "cannot be decoded: "
        raise DataError(f"{path}: {what}{str(error).removeprefix(what)}") from None
    except MemoryError:
        raise DataError(f"{path}: does not fit into memory.") from None


def open_label(path: Path, dataset: str, colours: labels.ColourTable | None = None) -> Image.Image:
    """A decoded label file whose pixels are raw ids.

    Args:
        path: the PNG: palette (the index is the id), grey of any depth, grey of 8 bits with transparency, SYNTHIA's
            three channels of 16 bits, or RGB of 8 bits whose red channel is the id.
        dataset: as `Domain.dataset`.
        colours: as `Domain.colours`: the pixels are colours, and the ids their positions.

    Returns:
        label: image of mode L, P or I;16.

    Raises:
        DataError: the file is no PNG, is truncated, or holds colours.
    """
    with _opened(path) as label:
        packing, layout = str(label.tile[0][3]), LAYOUTS[dataset]
        if (required := layout.label_packing) is not None:
            if packing != required:
                raise DataError(f"{path}: a SYNTHIA label must hold three channels of 16 bits. Received: {packing}.")
            # Pillow would keep the high byte of each big-endian value; read as little-endian it keeps the id's.
            label.tile = [(*label.tile[0][:3], "RGB;16L")]  # type: ignore[list-item]
            return label.getchannel(0)
        if colours is not None:
            return Image.fromarray(colours.ids(_colours_of(label, path, dataset)))
        if layout.red and label.mode in ("RGB", "RGBA"):
            if packing.endswith(";16B"):  # Pillow keeps the high bytes, which are 0
                rule = "must hold 8 bits a channel where the red one is the id"
                raise DataError(f"{path}: a label {rule}. Received: {packing}.")
            return label.getchannel(0)
        if packing == "LA":
            return label.getchannel(0)
        if label.mode not in ("1", "L", "P", "I", "I;16"):
            rule = "not colours, unless its class file lists colours" if layout.of_user else "not colours"
            raise DataError(f"{path}: a label must hold class ids, {rule}. Received: mode {label.mode}.")
        label.load()
        if label.mode == "I":  # what Pillow before 11 makes of 16 bits
            return label.convert("I;16")
        # Pillow stretches grey of 1, 2 and 4 bits to 0..255.
        step = {"1": 255, "L;2": 85, "L;4": 17}.get(packing, 1)
        return label if step == 1 else label.convert("L").point([value // step for value in range(256)])


def raw_pixels(path: Path) -> np.ndarray:
    """What a label file holds, whatever its class file says: ids (h, w), or colours uint8 (h, w, 3).

    Raises:
        DataError: as `open_label`.
    """
    with _opened(path) as label:
        if label.mode in ("RGB", "RGBA"):
            return _colours_of(label, path, "folder")
    return read_label(path, "folder")


def _colours_of(label: Image.Image, path: Path, dataset: str) -> np.ndarray:
    """uint8 (h, w, 3): the colours of an open label, without its transparency."""
    if label.mode not in ("RGB", "RGBA", "P"):
        rule = "as its class file lists" if LAYOUTS[dataset].of_user else f"those of {dataset}"
        raise DataError(f"{path}: a label must hold colours, {rule}. Received: mode {label.mode}.")
    return np.asarray(label.convert("RGB"))


def read_image(path: Path) -> np.ndarray:
    """uint8 (h, w, 3) of `open_image`."""
    return np.asarray(open_image(path))


def read_label(path: Path, dataset: str, colours: labels.ColourTable | None = None) -> np.ndarray:
    """Raw ids, uint8 or uint16 (h, w), of `open_label`."""
    return np.asarray(open_label(path, dataset, colours))


def raw_counts_of(label: Image.Image) -> np.ndarray:
    """Number of pixels of each raw id, from 0 up to at least the largest that occurs."""
    return np.bincount(np.asarray(label).ravel()) if label.mode == "I;16" else np.array(label.histogram())


def refuse_unknown_ids(label: Image.Image, domain: Domain, path: Path) -> None:
    """Raises DataError if a label holds ids that its data set does not have."""
    raw_ids = np.flatnonzero(raw_counts_of(label))
    unknown = raw_ids[domain.table[raw_ids] == labels.OUTSIDE]
    if unknown.size and domain.colours:
        raise DataError(f"{path}: {_unknown_colours(path, domain.colours, domain.dataset)}")
    if unknown.size:
        raise DataError(f"{path}: an id must be in the class map. Received: {unknown.tolist()}.")


def _unknown_colours(path: Path, known: labels.ColourTable, dataset: str) -> str:
    """What a label holds besides the known colours: the most frequent ones, each with the nearest known."""
    with Image.open(path) as label:
        pixels = _colours_of(label, path, dataset).reshape(-1, 3)
    others = pixels[known.ids(pixels) == known.other]
    found, counts = np.unique(others, axis=0, return_counts=True)
    told = []
    for place in np.argsort(-counts, kind="stable")[:3]:
        near = labels.hexadecimal(known.colours[known.nearest(found[place])])
        share = f"{100 * counts[place] / len(pixels):.2g} % of the pixels"
        told.append(f"{labels.hexadecimal(found[place])} ({share}; the nearest is {near})")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    rule = 'in the class file, or "*": null' if LAYOUTS[dataset].of_user else f"one of those of {dataset}"
    return f"a colour must be {rule}. Received: {', '.join(told)}{more}."


def train_ids_of(label: Image.Image, domain: Domain, path: Path) -> np.ndarray:
    """Train ids, uint8 (h, w), of a label.

    Raises:
        DataError: the label holds ids that its data set does not have.
    """
    if label.mode == "I;16":
        ids = domain.table.take(np.asarray(label))
    else:
        ids = np.asarray(label.point(domain.table[:256].tolist()))
    if (ids == labels.OUTSIDE).any():
        refuse_unknown_ids(label, domain, path)
    return ids


def check_proportions(pair: Pair, image: Image.Image, label: Image.Image) -> None:
    """Raises DataError if a label's proportions are not its image's, within SKEW."""
    if abs(label.width * image.height - image.width * label.height) > SKEW * image.width * label.height:
        rule = f"must have the proportions of its image {pair.image}, {image.height} x {image.width}"
        raise DataError(f"{pair.label}: a label {rule}. Received: {label.height} x {label.width}.")
