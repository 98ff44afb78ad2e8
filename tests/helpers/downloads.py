"""Drawn streets as two data sets are distributed: CamVid (SegNet tutorial) and recordings of the CARLA simulator."""

import json

import numpy as np
from PIL import Image

from ass_tf import labels, streets

CARLA = (
    "unlabelled and sky", "building", "fence", "other", "pedestrian", "pole", "road line", "road", "sidewalk",
    "vegetation", "car", "wall", "traffic sign",
)  # fmt: skip
CARLA_MAPPING = {"road line": "road", "unlabelled and sky": "sky", "pedestrian": "person"}


def _write(root, suffix, look, size, ids, void, count):
    """Pairs root/images/N and root/labels/N.png, grey, whose raw ids are those of `ids`: name -> raw id."""
    table = np.full(256, void, np.uint8)
    for raw_id, (name, _) in labels.CITYSCAPES_RAW.items():
        table[raw_id] = ids.get(name, void)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        image, label = streets.draw_scene(look, i, size)
        Image.fromarray(image).save(root / f"images/{i:04d}{suffix}")
        Image.fromarray(table[label]).save(root / f"labels/{i:04d}.png")


def write_camvid(root, count, split="val"):
    ids = {name: raw_id for raw_id, name in labels.CAMVID_RAW.items() if name}
    _write(root / split, ".png", "camera", (360, 480), ids, 11, count)
    return root


def write_carla(root, count):
    ids = {CARLA_MAPPING.get(name, name): raw_id for raw_id, name in enumerate(CARLA) if name != "road line"}
    _write(root, ".jpg", "game", (498, 800), ids, CARLA.index("other"), count)
    (root / "classes.json").write_text(json.dumps(dict(enumerate(CARLA))))
    return root
