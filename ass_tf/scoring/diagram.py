"""A reliability diagram, drawn without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ass_tf.scoring.calibration import Reliability
from ass_tf.scoring.pictures import INK, PAPER

SIDE, MARGIN, TEXT = 480, 64, 15  # pixels
BAR, SHARE, GRID = (70, 130, 180), (180, 180, 180), (225, 225, 225)


def draw(found: Reliability, lines: Sequence[str]) -> np.ndarray:
    """Bars: the share of right pixels by confidence. They should meet the diagonal. Below: how many pixels there are.

    Args:
        found: of the pixels.
        lines: captions.

    Returns:
        picture: uint8 (h, w, 3).
    """
    font, line = ImageFont.load_default(TEXT), round(1.6 * TEXT)
    top = MARGIN // 2 + line * len(lines)
    strip = SIDE // 5
    base, below = top + SIDE, top + SIDE + 3 * line + strip
    picture = Image.new("RGB", (SIDE + 2 * MARGIN, below + MARGIN), PAPER)
    pen = ImageDraw.Draw(picture)
    for number, caption in enumerate(lines):
        pen.text((MARGIN, MARGIN // 4 + number * line), caption, INK, font)
    for tick in range(6):
        x, y = MARGIN + SIDE * tick // 5, base - SIDE * tick // 5
        pen.line((MARGIN, y, MARGIN + SIDE, y), GRID)
        pen.text((MARGIN - 8, y), f"{20 * tick} %", INK, font, anchor="rm")
        pen.text((x, base + 6), f"{20 * tick} %", INK, font, anchor="ma")
    edges = [MARGIN + round(SIDE * place / len(found.count)) for place in range(len(found.count) + 1)]
    shares = found.count / max(found.count.sum(), 1)
    for left, right, count, accuracy, share in zip(edges, edges[1:], found.count, found.accuracy, shares):
        if count:
            pen.rectangle((left + 1, base - round(SIDE * accuracy), right - 1, base), BAR)
            height = max(1, round(strip * share / shares.max()))
            pen.rectangle((left + 1, below - height, right - 1, below), SHARE)
    pen.line((MARGIN, base, MARGIN + SIDE, top), INK, 2)
    pen.rectangle((MARGIN, top, MARGIN + SIDE, base), outline=INK)
    pen.text(
        (MARGIN + SIDE // 2, base + 2.4 * line), "confidence; below, how many pixels have it", INK, font, anchor="mm"
    )
    pen.text((MARGIN + 10, top + 10), "share of right pixels", INK, font)
    return np.asarray(picture)
