"""Label maps as files: train ids, class colours, and the photograph with the colours over it and a legend.

Needs Pillow and NumPy only.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Sequence
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
        name: start of the files' names; OUTPUTS has their ends.
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
    colours = {"labels": None, "colour": palette}
    maps = [output for output in colours if output in outputs]
    packed = _packed(np.asarray(whole)) if maps else b""
    for output in maps:  # both hold the same bytes, packed once
        _save(folder / f"{name}{OUTPUTS[output]}", _png(size, packed, colours[output]))
    if "overlay" in outputs and image is not None:
        scale = min(1.0, LONGEST / max(image.size))
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image, whole = image.resize(size), whole.resize(size, Image.Resampling.NEAREST)
        drawn = with_legend(overlay(image, whole, palette), shares, names, palette)
        _save(folder / f"{name}{OUTPUTS['overlay']}", _jpeg(drawn))
    return shares


def _packed(labels: np.ndarray) -> bytes:
    """The pixels of a PNG file, uint8 (h, w): each row less the one above it, then zlib's run lengths."""
    rows = np.empty((labels.shape[0], labels.shape[1] + 1), np.uint8)
    rows[:, 0] = 2  # PNG's filter "Up"
    rows[0, 1:] = labels[0]
    np.subtract(labels[1:], labels[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return packer.compress(rows.data) + packer.flush()


def _png(size: tuple[int, int], packed: bytes, palette: np.ndarray | None) -> bytes:
    """A PNG file of 8 bits a pixel, grey or with a palette, around the pixels of `_packed`."""
    height, width = size
    grey, indexed = 0, 3
    kind = grey if palette is None else indexed
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", palette.tobytes()))
    parts = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def _save(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
