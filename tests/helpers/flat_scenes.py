"""Scenes of flat bands, and runs whose network gives one class everywhere."""

import functools

import numpy as np
import tensorflow as tf
from PIL import Image

from ass_tf import config
from ass_tf.models.generator import build_generator
from ass_tf.runs import snapshots
from ass_tf.runs.folder import RunFolder

NAMES = ("road", "building", "sky")


SIZE = (32, 64)


RAW = np.array([23, 11, 7, 4], np.uint8)  # Cityscapes' sky, building, road, static


BRIGHT = np.array([220, 120, 60, 30], np.uint8)


def write_scenes(root, split="val", count=3, scale=2):
    """Cityscapes' layout: bands of sky, building, road and static, twice as large as the network's images."""
    for i in range(count):
        bands = np.repeat(np.roll([0, 1, 2, 3], i)[:, None], SIZE[1], 1).repeat(SIZE[0] // 4, 0)
        bands = bands.repeat(scale, 0).repeat(scale, 1)
        for kind, tail, array in (
            ("leftImg8bit", "leftImg8bit", np.stack([BRIGHT[bands]] * 3, -1)),
            ("gtFine", "gtFine_labelIds", RAW[bands]),
        ):
            file = root / kind / split / "town" / f"town_00000{i}_000019_{tail}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(file)


def settings(root, **changes):
    domain = {"dataset": "cityscapes", "root": str(root), "size": SIZE}
    return {
        "method": "joint",
        "classes": NAMES,
        "source": domain,
        "target": domain,
        "validation": {**domain, "split": "val"},
        "model": {"backbone": "tiny", "weights": None, "rates": [1]},
        **changes,
    }


def write_settings(run, plain):
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(config.dump(config.from_dict(plain)))
    return run


@functools.cache
def tiny_generator():
    return build_generator(len(NAMES), config.from_dict(settings("data")).model)


def write_run(run, plain, *constants, best=None):
    """A run whose snapshot of step i + 1 gives every pixel the class constants[i]."""
    write_settings(run, plain)
    generator = tiny_generator()
    head = generator.get_layer("head_0")
    for step, constant in enumerate(constants, start=1):
        head.set_weights([0 * head.get_weights()[0], np.eye(len(NAMES))[constant]])
        state = {"step": step, "best": {"step": best} if best else None}
        snapshots.save(RunFolder(run), tf.train.Checkpoint(generator=generator), state)
    return run
