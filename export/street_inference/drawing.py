"""Label maps as files: train ids, class colours, and the photograph with the colours over it and a legend.

Needs Pillow and NumPy only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

OUTPUTS = {"labels": "_labels.png", "colour": "_colour.png", "overlay": "_overlay.jpg"}
DEFAULTS = ("labels", "colour")  # an overlay costs more than both
PAPER, INK = (255, 255, 255), (32, 32, 32)
NARROWEST = 320  # pixels, of a legend
LONGEST = 32000  # pixels, of an overlay's side; a JPEG holds 65535


def overlay(image: Image.Image, labels: Image.Image, palette: np.ndarray, alpha: float = 0.5) -> Image.Image:
    """The photograph with the colours of its classes laid over it.

    Args:
        image: RGB.
        labels: mode L, train ids, of the same size.
        palette: uint8 (256, 3).
        alpha: share of the colours, 0 to 1.
    """
    coloured = labels.copy()
    coloured.putpalette(palette.tobytes())
    return Image.blend(image, coloured.convert("RGB"), alpha)


def with_legend(picture: Image.Image, shares: np.ndarray, names: Sequence[str], palette: np.ndarray) -> Image.Image:
    """The picture above the names, colours and shares of the classes in it.

    Args:
        picture: RGB.
        shares: float (c,). Share of the pixels of each class; 0 leaves it out.
        names: of the classes, c of them.
        palette: uint8 (256, 3).
    """
    text = min(max(round(min(picture.height / 45, picture.width / 25)), 12), 40)
    font = ImageFont.load_default(text)
    entries = [(i, f"{name} {_percent(shares[i])}") for i, name in enumerate(names) if shares[i] > 0]
    width = max(picture.width, NARROWEST)
    column = max([round(font.getlength(entry)) for _, entry in entries], default=1) + 3 * text
    columns = max(1, min(width // column, len(entries)))
    line = round(1.7 * text)
    sheet = Image.new("RGB", (width, picture.height + line * -(-len(entries) // columns) + text // 2), PAPER)
    sheet.paste(picture)
    draw = ImageDraw.Draw(sheet)
    for place, (index, entry) in enumerate(entries):
        left, top = place % columns * column + text // 2, picture.height + place // columns * line + text // 2
        draw.rectangle((left, top, left + text, top + text), tuple(palette[index].tolist()), INK)
        draw.text((left + 1.5 * text, top + text / 2), entry, INK, font, anchor="lm")
    return sheet


def _percent(share: float) -> str:
    return "<1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def write(
    folder: Path,
    name: str,
    image: Image.Image | None,
    size: tuple[int, int],
    labels: np.ndarray,
    names: Sequence[str],
    palette: np.ndarray,
    outputs: Sequence[str],
) -> np.ndarray:
    """Write the results of one photograph, each file whole or not at all.

    Args:
        folder: where to.
        name: start of the files' names, "/" between folders; OUTPUTS has their ends.
        image: the photograph, RGB; only an overlay needs it.
        size: (h, w) of the photograph.
        labels: uint8 (h', w'), train ids; brought to the photograph's size by the nearest pixel.
        names: of the classes, c of them.
        palette: uint8 (256, 3).
        outputs: keys of OUTPUTS.

    Returns:
        shares: float (c,). Share of the pixels of each class.

    Raises:
        OSError: a file cannot be written.
    """
    shares = np.bincount(labels.ravel(), minlength=len(names))[: len(names)] / labels.size
    whole = Image.fromarray(labels)
    whole = whole if whole.size == size[::-1] else whole.resize(size[::-1], Image.Resampling.NEAREST)
    if "labels" in outputs:
        _save(folder / f"{name}{OUTPUTS['labels']}", whole)
    if "colour" in outputs:
        coloured = whole.copy()
        coloured.putpalette(palette.tobytes())
        _save(folder / f"{name}{OUTPUTS['colour']}", coloured)
    if "overlay" in outputs and image is not None:
        scale = min(1.0, LONGEST / max(image.size))
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image, whole = image.resize(size), whole.resize(size, Image.Resampling.NEAREST)
        drawn = with_legend(overlay(image, whole, palette), shares, names, palette)
        _save(folder / f"{name}{OUTPUTS['overlay']}", drawn)
    return shares


def _save(path: Path, picture: Image.Image) -> None:
    settings: Mapping[str, Mapping[str, int]] = {
        ".png": {"compress_level": 1, "compress_type": 3},  # run lengths
        ".jpg": {"quality": 90},
    }
    unfinished = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        formats = {".png": "PNG", ".jpg": "JPEG"}
        picture.save(unfinished, formats[path.suffix], **settings[path.suffix])
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
