"""Classes, their colours, and the tables from a data set's raw label ids to train ids.

Every data set's table gives a class *name* for each raw id; a class set is a tuple of names, and the position of a name
in it is the train id.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

IGNORE = 255  # train id of pixels that take no part
OUTSIDE = 254  # table entry of raw ids that a data set does not have: finding one is an error in the data
SOURCE, TARGET = 0, 1  # the domains, and the channels of D_g
# What a raw id stands for: a class; or one and wider ones that it belongs to; or nothing.
Meaning = str | tuple[str, ...] | None

# Raw id -> (name, colour) of Cityscapes, which GTA5 shares. Source: cityscapesScripts, helpers/labels.py.
CITYSCAPES_RAW: dict[int, tuple[str, tuple[int, int, int]]] = {
    0: ("unlabeled", (0, 0, 0)),
    1: ("ego vehicle", (0, 0, 0)),
    2: ("rectification border", (0, 0, 0)),
    3: ("out of roi", (0, 0, 0)),
    4: ("static", (0, 0, 0)),
    5: ("dynamic", (111, 74, 0)),
    6: ("ground", (81, 0, 81)),
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    9: ("parking", (250, 170, 160)),
    10: ("rail track", (230, 150, 140)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    14: ("guard rail", (180, 165, 180)),
    15: ("bridge", (150, 100, 100)),
    16: ("tunnel", (150, 120, 90)),
    17: ("pole", (153, 153, 153)),
    18: ("polegroup", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    29: ("caravan", (0, 0, 90)),
    30: ("trailer", (0, 0, 110)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
    34: ("license plate", (0, 0, 142)),  # -1 in Cityscapes' tables, 34 in GTA5's files
    255: ("license plate", (0, 0, 142)),  # -1 as Cityscapes' 8-bit files hold it
}

CLASS_SETS: dict[str, tuple[str, ...]] = {
    "cityscapes19": (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    "synthia16": (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "sky",
        "person", "rider", "car", "bus", "motorcycle", "bicycle",
    ),
}  # fmt: skip

# Scores that papers report besides the mean over all classes of a class set.
REPORTED_SUBSETS: dict[str, tuple[str, ...]] = {
    "synthia16": CLASS_SETS["synthia16"],
    "synthia13": tuple(n for n in CLASS_SETS["synthia16"] if n not in ("wall", "fence", "pole")),
}

# SYNTHIA-RAND-CITYSCAPES. Source: the data set's README; ids 16, 18 and 20 never occur in its files.
SYNTHIA_RAW: dict[int, str | None] = {
    0: None, 1: "sky", 2: "building", 3: "road", 4: "sidewalk", 5: "fence", 6: "vegetation", 7: "pole", 8: "car",
    9: "traffic sign", 10: "person", 11: "bicycle", 12: "motorcycle", 13: None, 14: None, 15: "traffic light",
    16: "terrain", 17: "rider", 18: "truck", 19: "bus", 20: "train", 21: "wall", 22: None,
}  # fmt: skip

# CamVid as distributed with the SegNet tutorial: 11 classes and void.
CAMVID_RAW: dict[int, str | None] = {
    0: "sky", 1: "building", 2: "pole", 3: "road", 4: "sidewalk", 5: "vegetation", 6: "traffic sign", 7: "fence",
    8: "car", 9: "person", 10: "bicyclist", 11: None,
}  # fmt: skip


def class_names(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Names of a class set, in the order of their train ids.

    Args:
        classes: a key of CLASS_SETS, or the names themselves.

    Returns:
        names: tuple of str, c of them.
    """
    return CLASS_SETS[classes] if isinstance(classes, str) else tuple(classes)


def widened(table: Mapping[Key, str]) -> dict[Key, tuple[str, ...]]:
    """Meanings written as one text each, "van > car" for a van, which is a car where there is no class of vans.

    Example:
        >>> widened({3: "road", 25: "van > car"})
        {3: ('road',), 25: ('van', 'car')}
    """
    return {key: tuple(text.split(" > ")) for key, text in table.items()}


def names_of(meaning: Meaning) -> tuple[str, ...]:
    """Names of a meaning, from the narrowest to the widest."""
    return meaning if isinstance(meaning, tuple) else () if meaning is None else (meaning,)


def lookup_table(raw: Mapping[int, Meaning], names: Sequence[str]) -> np.ndarray:
    """Table from raw label ids to train ids.

    Args:
        raw: raw id -> class name, None for a known id that takes no part. Of several names the first that is in `names`
            counts.
        names: the class set.

    Returns:
        table: uint8 (65536,). Train ids; IGNORE for ids that have no name in `names`; OUTSIDE for unknown ids.

    Example:
        >>> table = lookup_table({0: None, 7: "road", 23: "sky", 26: "car", 5: ("marking", "road")}, ("road", "sky"))
        >>> table[[7, 23, 26, 0, 5, 99]].tolist()
        [0, 1, 255, 255, 0, 254]
    """
    table = np.full(65536, OUTSIDE, np.uint8)
    for raw_id, meaning in raw.items():
        known = (names.index(name) for name in names_of(meaning) if name in names)
        table[raw_id] = next(known, IGNORE)
    return table


class ColourTable:
    """The colours of a data set's labels; the raw id of a colour is its position.

    Args:
        colours: (red, green, blue) each, all different, at most 254.

    Attributes:
        colours: uint8 (n, 3).
        other: raw id of all other colours, 255.
    """

    other = 255

    def __init__(self, colours: Sequence[Sequence[int]]) -> None:
        self.colours = np.array(colours, np.uint8).reshape(-1, 3)
        self._ids = np.full(1 << 24, self.other, np.uint8)  # by 65536 red + 256 green + blue
        self._ids[_packed(self.colours)] = np.arange(len(self.colours))

    def ids(self, pixels: np.ndarray) -> np.ndarray:
        """Raw ids, uint8 (h, w), of pixels uint8 (h, w, 3).

        Example:
            >>> ColourTable([(128, 64, 128), (70, 70, 70)]).ids(np.array([[[70, 70, 70], [0, 0, 0]]])).tolist()
            [[1, 255]]
        """
        return self._ids[_packed(pixels)]

    def nearest(self, colour: Sequence[int]) -> int:
        """Raw id of the colour that is nearest to one."""
        return int(np.square(self.colours.astype(int) - np.array(colour, int)).sum(1).argmin())


def _packed(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(np.asarray(pixels).astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def hexadecimal(colour: Iterable[int]) -> str:
    """A colour as web pages write it: #804080."""
    return "#{:02x}{:02x}{:02x}".format(*map(int, colour))


def colours(names: Sequence[str]) -> np.ndarray:
    """Colour of each train id: Cityscapes' own where the name is one of its classes.

    Args:
        names: the class set.

    Returns:
        palette: uint8 (256, 3). Black for IGNORE; other names get a saturated colour drawn from the name itself.
    """
    known = dict(CITYSCAPES_RAW.values())
    palette = np.zeros((256, 3), np.uint8)
    for train_id, name in enumerate(names):
        if name in known:
            palette[train_id] = known[name]
        else:
            hue = zlib.crc32(name.encode()) % 360 / 360
            palette[train_id] = [round(255 * x) for x in colorsys.hsv_to_rgb(hue, 0.7, 0.9)]
    return palette


def gta5_palette() -> list[int]:
    """The 768 palette entries of a GTA5 label file: Cityscapes' colours by raw id."""
    palette = np.zeros((256, 3), np.uint8)
    for raw_id, (_, colour) in CITYSCAPES_RAW.items():
        palette[raw_id] = colour
    return palette.reshape(-1).tolist()
