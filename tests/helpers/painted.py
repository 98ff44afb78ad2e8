"""A domain whose images are painted from their labels, and what is read of it."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ass_tf import datasets, labels
from ass_tf.config import schema
from ass_tf.datasets import pipeline

NAMES = ("road", "sky", "car", "person")


COLOURS = np.array([[200, 20, 20], [20, 200, 20], [20, 20, 200], [200, 200, 20]], np.uint8)  # of the drawn images


def make_domain(root, count=5, size=(48, 64), file_sizes=((96, 128),), raw_dtype=np.uint8):
    """Pairs whose images are painted from their labels; the top left pixel's colour tells them apart."""
    table = labels.lookup_table({0: None, **dict(enumerate(NAMES, 1))}, NAMES)
    pairs = []
    for i in range(count):
        rng = np.random.default_rng(i)
        h, w = file_sizes[i % len(file_sizes)]
        ids = rng.integers(0, 4, (6, 8), np.uint8)
        ids = np.asarray(Image.fromarray(ids).resize((w, h), Image.Resampling.NEAREST))
        image = COLOURS[ids]
        image[0, 0] = [i, 0, 0]
        pair = datasets.Pair(f"{i}", root / f"{i}.png", root / f"{i}_ids.png")
        Image.fromarray(image).save(pair.image)
        Image.fromarray((ids + 1).astype(raw_dtype)).save(pair.label)
        pairs.append(pair)
    return datasets.Domain(tuple(pairs), table, size, "folder")


@pytest.fixture
def domain(tmp_path):
    return make_domain(tmp_path)


def by_pillow(pair, domain):
    size = domain.size[::-1]
    image = np.asarray(Image.open(pair.image).resize(size, Image.Resampling.BICUBIC))
    ids = np.asarray(Image.open(pair.label).resize(size, Image.Resampling.NEAREST))
    return image, domain.table[ids]


def batches(domain, count, *, batch=2, seed=0, stream="source", start_step=0, **augmentation):
    changes = schema.Augmentation(**augmentation)
    data = pipeline.batches(domain, batch=batch, seed=seed, stream=stream, start_step=start_step, augmentation=changes)
    return [tf.nest.map_structure(lambda x: x.numpy(), element) for element in data.take(count)]


def drawn(domain, count, **given):
    """Indices of the first `count` pairs that `batches` reads, told by their contents."""
    known = {by_pillow(pair, domain)[0].tobytes(): i for i, pair in enumerate(domain.pairs)}
    images = [image for images, _ in batches(domain, count, batch=1, **given) for image in images]
    return [known[image.astype(np.uint8).tobytes()] for image in images]


def equal(ones, others):
    return len(ones) == len(others) and all(
        np.array_equal(a, b) for a, b in zip(tf.nest.flatten(ones), tf.nest.flatten(others))
    )
