"""Label maps as pictures: colours, overlays, comparison strips, legends, and PNG files written whole or not at all.

Pictures are uint8 (h, w, 3) arrays, RGB.
"""

import bisect
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ass_tf import labels
from ass_tf.system import storage

GAP = 4  # pixels between panels
SHEET_HEIGHT = 192  # pixels of a panel on a contact sheet
PAPER, INK = (255, 255, 255), (32, 32, 32)


def colour(label_map, palette):
    """Label map in the colours of its classes.

    Args:
        label_map: integers (h, w). Train ids, 0 to 255.
        palette: uint8 (256, 3). From `labels.colours`; IGNORE is black in it.

    Returns:
        picture: uint8 (h, w, 3).

    Example:
        >>> colour([[0, labels.IGNORE]], labels.colours(["road"])).tolist()
        [[[128, 64, 128], [0, 0, 0]]]
    """
    return np.asarray(palette, np.uint8)[np.asarray(label_map, np.uint8)]


def overlay(image, label_map, palette, alpha=0.5):
    """Image with the colours of its classes laid over it.

    Args:
        image: uint8 (h, w, 3).
        label_map: integers (h', w'). Train ids; brought to the image's size. IGNORE pixels show the image itself.
        palette: uint8 (256, 3).
        alpha: float, 0 to 1. Share of the class colours.

    Returns:
        picture: uint8 (h, w, 3).
    """
    image = np.asarray(image)
    label_map = _resize(np.asarray(label_map, np.uint8), image.shape[:2], Image.Resampling.NEAREST)
    blend = np.where((label_map == labels.IGNORE)[..., None], 0.0, alpha)
    return np.rint(image * (1 - blend) + colour(label_map, palette) * blend).astype(np.uint8)


def strip(panels, titles=None, height=None):
    """Panels of one scene side by side, each in its own proportions, with thin gaps.

    Args:
        panels: uint8 (h, w, 3) arrays. The first, usually the photograph, sets the height; the others are resized to
            the nearest pixel, so that class colours stay exact.
        titles: caption of each panel; default none.
        height: int. Height of the panels in pixels; default the first one's.

    Returns:
        picture: uint8 (h, w, 3).
    """
    height = height or panels[0].shape[0]
    smooth, nearest = Image.Resampling.LANCZOS, Image.Resampling.NEAREST
    panels = [
        _resize(panel, (height, max(1, round(panel.shape[1] * height / panel.shape[0]))), nearest if i else smooth)
        for i, panel in enumerate(panels)
    ]
    text = _text_size(height) if titles else 0
    top = round(1.6 * text)  # room for the captions
    width = sum(panel.shape[1] for panel in panels) + GAP * (len(panels) - 1)
    picture = Image.new("RGB", (width, top + height), PAPER)
    draw = ImageDraw.Draw(picture)
    left = 0
    for i, panel in enumerate(panels):
        picture.paste(Image.fromarray(panel), (left, top))
        if titles:
            caption = _fit(titles[i], _font(text), panel.shape[1] - text // 2)
            draw.text((left + text // 4, top // 2), caption, INK, _font(text), anchor="lm")
        left += panel.shape[1] + GAP
    return np.asarray(picture)


def legend(names, palette, width=1024, text=14):
    """The classes' names next to their colours, in as many columns as fit.

    Args:
        names: the class set.
        palette: uint8 (256, 3).
        width: int. Pixels.
        text: int. Height of the letters in pixels.

    Returns:
        picture: uint8 (h, w, 3).
    """
    font = _font(text)
    line, box = round(1.6 * text), text
    entries = [(i, _fit(name, font, width - box - text)) for i, name in enumerate(names)]
    entries.append((labels.IGNORE, "takes no part"))
    column = max(round(font.getlength(name)) for _, name in entries) + box + 2 * text
    columns = max(1, min(width // column, len(entries)))
    rows = -(-len(entries) // columns)
    picture = Image.new("RGB", (width, rows * line + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    for i, (train_id, name) in enumerate(entries):
        left, middle = (i // rows) * column + text // 4, (i % rows) * line + (line + GAP) // 2
        fill = tuple(int(x) for x in palette[train_id])
        draw.rectangle((left, middle - box // 2, left + box, middle + box // 2), fill, INK)
        draw.text((left + box + text // 2, middle), name, INK, font, anchor="lm")
    return np.asarray(picture)


def stack(pictures):
    """Pictures one below the other, flush left, with thin gaps.

    Args:
        pictures: uint8 (h, w, 3) arrays.

    Returns:
        picture: uint8 (h, w, 3).
    """
    width = max(picture.shape[1] for picture in pictures)
    height = sum(picture.shape[0] for picture in pictures) + GAP * (len(pictures) - 1)
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    top = 0
    for picture in pictures:
        sheet[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0] + GAP
    return sheet


def save_png(path, picture):
    """Write a PNG; who looks meanwhile sees the old file or the new one, never half of one.

    Args:
        path: str or Path. Its folder is made if need be.
        picture: uint8 (h, w, 3) or (h, w).

    Returns:
        path: Path.
    """
    with storage.replacing(path) as unfinished:
        Image.fromarray(np.asarray(picture, np.uint8)).save(unfinished, "PNG")
    return Path(path)


def _resize(array, size, method):
    if array.shape[:2] == tuple(size):
        return array
    return np.asarray(Image.fromarray(array).resize(tuple(size)[::-1], method))


def _font(text):
    return ImageFont.load_default(text)


def _text_size(height):
    return min(max(round(height / 16), 10), 28)


def _fit(caption, font, width):
    """Caption on one line, without its first letters where it is too long: names differ at their ends."""
    caption, width = storage.shown(caption, len(caption)), max(width, 0)
    if len(caption) <= width and font.getlength(caption) <= width:  # a letter takes a pixel or more
        return caption
    endings = [f"...{caption[start:]}" for start in range(len(caption), max(len(caption) - width, 0) - 1, -1)]
    return endings[max(bisect.bisect_right(endings, width, key=font.getlength) - 1, 0)]
