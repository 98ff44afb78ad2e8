"""The layouts of data sets: where the files lie, how their names end, and what the label ids mean.

A new layout is a row of LAYOUTS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ass_tf import labels

PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")  # as `street_inference.images` has them


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a data set's files lie.

    Attributes:
        folders: (images, labels) under the root; several, where the set is around in several forms. A name in braces is
            a setting of `schema.Domain`.
        image_tails: how the names of images end; what stands before, with the folders, is the pair's name.
        label_tail: how the name of a pair's label ends.
        raw: raw id -> class name, None for ids that take no part; None where the user's class file says it.
        label_packing: Pillow's word for label files whose first of several channels holds the ids.
    """

    folders: tuple[tuple[str, str], ...]
    image_tails: tuple[str, ...] = PHOTOGRAPHS
    label_tail: str = ".png"
    raw: Mapping[int, str | None] | None = None
    label_packing: str | None = None


CITYSCAPES = {raw_id: name for raw_id, (name, _) in labels.CITYSCAPES_RAW.items()}
LAYOUTS = {
    "gta5": Layout((("images", "labels"),), (".png",), raw=CITYSCAPES),
    "synthia": Layout((("RGB", "GT/LABELS"),), (".png",), raw=labels.SYNTHIA_RAW, label_packing="RGB;16B"),
    "cityscapes": Layout(
        (("leftImg8bit/{split}", "gtFine/{split}"),), ("_leftImg8bit.png",), "_gtFine_labelIds.png", CITYSCAPES
    ),
    # Its own form, and that of the SegNet tutorial.
    "camvid": Layout((("{split}/images", "{split}/labels"), ("{split}", "{split}annot")), raw=labels.CAMVID_RAW),
    "folder": Layout((("{images}", "{labels}"),)),
}
