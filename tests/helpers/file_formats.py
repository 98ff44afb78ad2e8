"""Files in the formats of the data sets, and what tests of reading them share."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ass_tf import datasets, labels
from ass_tf.config import schema

CLASSES = labels.CLASS_SETS["cityscapes19"]
ROAD, SIDEWALK, POLE, SKY, CAR = (CLASSES.index(name) for name in ("road", "sidewalk", "pole", "sky", "car"))


def section(dataset, root, size=(32, 64), **given):
    return schema.Domain(dataset=dataset, root=str(root), size=size, **given)


def open_domain(dataset, root, classes=CLASSES, require_labels=True, **given):
    return datasets.open_domain(classes, section(dataset, root, **given), require_labels)


def target(dataset, root, size=(32, 64), **given):
    return schema.Target(dataset=dataset, root=str(root), size=size, **given)


def roles(classes, target, only=("labelled", "unlabelled")):
    """Parts of a target, as a run on these classes opens them."""
    settings = schema.Config(method="csa", classes=tuple(classes), source=section("gta5", "none"), target=target)
    return datasets.open_roles(settings, only)


def names(domain):
    return [pair.name for pair in domain.pairs]


def write(path, array, mode=None, **given):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **given)
    return path


def photograph(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def write_index(path, ids):
    """A palette PNG as GTA5's: the index is the raw id, the palette holds the class's colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(ids, np.uint8))
    image.putpalette(labels.gta5_palette())
    image.save(path)
    return path


def write_png(path, rows, width, bits, colour_type, height=None):
    """A PNG made by hand of packed rows, for packings that Pillow does not write; with a height, interlaced."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height or len(rows), bits, colour_type, 0, 0, bool(height)))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    return path


def write_synthia(path, ids):
    """16 bits, three channels: id in the red one, instance in the green one, as the data set's own files."""
    values = np.zeros((*np.shape(ids), 3), ">u2")
    values[..., 0] = ids
    values[..., 1] = 700 + np.arange(values[..., 1].size).reshape(np.shape(ids))
    return write_png(path, [row.tobytes() for row in values], values.shape[1], 16, 2)


def write_gta5(root, count=3, size=(40, 80)):
    for i in range(1, count + 1):
        write(root / "images" / f"{i:05d}.png", photograph(size, i))
        write_index(root / "labels" / f"{i:05d}.png", np.full(size, 6 + i))
    return root


def write_folder(root, classes=None, count=2, ids=0):
    for i in range(count):
        write(root / "images" / f"{i}.png", photograph((8, 8), i))
        write(root / "labels" / f"{i}.png", np.full((8, 8), ids, np.uint8))
    (root / "classes.json").write_text(json.dumps({"0": "sky", "1": "street"} if classes is None else classes))
    return root


def refusal(call, *args, **given):
    with pytest.raises(datasets.DataError) as caught:
        call(*args, **given)
    return str(caught.value)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
