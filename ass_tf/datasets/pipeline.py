"""File pairs to batches: decoded, mapped to train ids, resized, augmented if asked, in an order made of seed and step.

Images are resized by Pillow's antialiased BICUBIC and labels by NEAREST, from the file's size straight to the domain's.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import threading
import time

import numpy as np
import tensorflow as tf
from PIL import Image

from ass_tf.config import schema
from ass_tf.datasets import colour, order
from ass_tf.datasets.decoding import check_proportions, open_image, open_label, train_ids_of
from ass_tf.datasets.domain import DataError

# Pillow keeps up to 64 MB of freed memory for the next image: clearing a new page costs the kernel more than filling it
# costs us. Blocks of 1 MB fit all images, while one block per image is reallocated between sizes.
Image.core.set_block_size(2**20)
Image.core.set_blocks_max(64)

PLAIN = schema.Augmentation()
ONE = range(1)  # the only replica
DRAWS = 10  # random numbers of a sample: mirror, zoom, left, top, brightness, contrast, saturation, three of tint


class _Gate:
    """Keeps tf.data's threads out of Python once the interpreter ends, which would wait for ever for one inside."""

    def __init__(self):
        self.lock, self.inside, self.entered, self.closed = threading.Lock(), 0, 0, False

    def __enter__(self):
        with self.lock:
            self.inside, self.entered = self.inside + 1, self.entered + 1
        return self

    def __exit__(self, *error):
        with self.lock:
            self.inside -= 1

    def close(self):
        """From here on `closed` makes reads empty, so that the buffers fill at once; returns when no thread comes."""
        self.closed = True
        seen = -1
        while self.inside or seen != self.entered:
            seen = self.entered
            time.sleep(0.1)


_gate = _Gate()
atexit.register(_gate.close)


def _aligned(shape, dtype):
    """An empty array that TensorFlow takes over without a copy, since it starts at a multiple of 64 bytes."""
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(length + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + length].view(dtype).reshape(shape)


def read_pair(pair, domain, draws=(0.0,) * DRAWS, *, flip=False, scale=1.0):
    """One pair at the domain's size.

    Args:
        pair: Pair.
        domain: Domain.
        draws: float (DRAWS,) in [0, 1).
        flip: bool. Mirror if the first draw says so.
        scale: float. Cut out a part that is smaller by a factor drawn from 1 to this, and enlarge it.

    Returns:
        image: uint8 (h, w, 3).
        label: uint8 (h, w), train ids; None if the pair has no label.

    Raises:
        DataError: a file cannot be decoded, or holds an id outside the map.
    """
    h, w = domain.size
    side = 1 / (1 + (scale - 1) * float(draws[1]))  # of the part, as a fraction
    left, top = (1 - side) * float(draws[2]), (1 - side) * float(draws[3])
    box = (left, top, min(left + side, 1.0), min(top + side, 1.0))
    mirror = flip and draws[0] < 0.5

    def resized(image, resample):
        part = [fraction * length for fraction, length in zip(box, image.size * 2)]
        image = image.resize((w, h), resample, box=part)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else image

    image = np.asarray(resized(open_image(pair.image), Image.Resampling.BICUBIC))
    if pair.label is None:
        return image, None
    label = resized(open_label(pair.label, domain.dataset, domain.colours), Image.Resampling.NEAREST)
    return image, train_ids_of(label, domain, pair.label)


def batches(
    domain,
    *,
    batch,
    seed,
    stream,
    start_step=0,
    with_labels=True,
    augmentation=PLAIN,
    rare=None,
    replicas=ONE,
    of=1,
):
    """Endless batches of a domain; which images a step holds depends on `seed`, `stream` and the step's number only.

    A step has one batch for each replica, in their order; they share the step's images out.

    Args:
        domain: Domain.
        batch: int. Images per step, over all replicas.
        seed: int.
        stream: int or str. Domains of different streams draw independently.
        start_step: int. Number of the first step.
        with_labels: bool.
        augmentation: schema.Augmentation.
        rare: what `balance.sampling_table` returns, for rare-class sampling; None: every image in turn.
        replicas: range. Those to read for.
        of: int. Number of all replicas, of which `batch` is a multiple.

    Returns:
        dataset: tf.data.Dataset of images, float32 (b, h, w, 3) from 0 to 255; with labels, of (images, labels), the
            latter int32 (b, h, w); b = batch / of.

    Raises:
        DataError: the domain is empty, or a label is needed and missing.
    """
    if not domain.pairs:
        raise DataError(f"{stream}: a domain must have at least one image. Received: 0.")
    unlabelled = next((pair.image for pair in domain.pairs if with_labels and pair.label is None), None)
    if unlabelled:
        raise DataError(f"{unlabelled}: has no label.")
    (h, w), count, each = domain.size, len(domain.pairs), batch // of
    here = each * len(replicas)  # images per step
    key, changes = order.key_of(seed, stream, "order"), order.key_of(seed, stream, "augmentation")
    in_turn = functools.partial(order.index_of, count=count, key=key)
    place_of = in_turn if rare is None else order.by_class(*rare, key)
    pairs = domain.pairs if with_labels else [dataclasses.replace(pair, label=None) for pair in domain.pairs]

    def choose(position):
        sample = position // here * batch + each * replicas.start + position % here
        draws = tf.zeros([DRAWS])
        if augmentation != PLAIN:
            draws = tf.random.stateless_uniform(
                [DRAWS], tf.stack([tf.constant(changes, tf.int64), sample]), alg="philox"
            )
        return place_of(sample), draws

    def read(indices, draws):
        with _gate:
            images = _aligned((each, h, w, 3), np.float32)
            train_ids = _aligned((each, h, w) if with_labels else (each, 0), np.int32)
            for i in range(0 if _gate.closed else each):
                image, label = read_pair(
                    pairs[indices[i]], domain, draws[i], flip=augmentation.flip, scale=augmentation.scale
                )
                images[i] = image
                if with_labels:
                    train_ids[i] = label
            return images, train_ids

    def load(indices, draws):
        # Stateless, or deterministic mode would run one call at a time.
        images, train_ids = tf.numpy_function(read, [indices, draws], (tf.float32, tf.int32), stateful=False)
        images = tf.ensure_shape(images, [each, h, w, 3])
        if augmentation.colour:
            images = colour.recolour(images, draws, augmentation.colour)
        return (images, tf.ensure_shape(train_ids, [each, h, w])) if with_labels else images

    positions = tf.data.Dataset.range(start_step * here, np.iinfo(np.int64).max)
    chosen = positions.map(choose).batch(each, drop_remainder=True)
    return chosen.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def training_dataset(domains, batch, augmentation, seed, start_step=0, rare=None, replicas=ONE, of=1):
    """What each step of training reads: one element for each of the replicas, in their order.

    Args:
        domains: dict of role -> Domain; of the roles source, labelled and unlabelled those that are read.
        batch: dict of role -> int. Images per step, over all replicas.
        augmentation: schema.Augmentation.
        seed: int.
        start_step: int. Number of the first step.
        rare: dict of role -> what `balance.sampling_table` returns, for rare-class sampling in that role.
        replicas, of: as in `batches`.

    Returns:
        dataset: tf.data.Dataset of dict: `source` and `labelled` (images, labels), `unlabelled` images, as `batches`.
    """
    parts = {
        role: batches(
            domains[role],
            batch=batch[role],
            seed=seed,
            stream=role,
            start_step=start_step,
            with_labels=role != "unlabelled",
            augmentation=augmentation,
            rare=(rare or {}).get(role),
            replicas=replicas,
            of=of,
        )
        for role in ("source", "labelled", "unlabelled")
        if role in domains
    }
    options = tf.data.Options()
    options.deterministic = True
    return tf.data.Dataset.zip(parts).prefetch(2 * len(replicas)).with_options(options)


def evaluation_pairs(domain, skip=None, places=None):
    """The pairs of a domain in order, read ahead in threads.

    Args:
        domain: Domain.
        skip: function of the error, called in place of raising it.
        places: ints. Those of the pairs that are read; None: all.

    Yields:
        name: str.
        image: float32 (h, w, 3), 0 to 255, at the domain's size.
        label: uint8, train ids at the label file's own size; None if the pair has no label.

    Raises:
        DataError: a file cannot be decoded, holds an id outside the map, or a label has not its image's
            proportions.
    """
    h, w = domain.size

    def read(pair):
        image, label = open_image(pair.image), None
        if pair.label is not None:
            raw = open_label(pair.label, domain.dataset, domain.colours)
            check_proportions(pair, image, raw)
            label = train_ids_of(raw, domain, pair.label)
        return pair.name, np.asarray(image.resize((w, h), Image.Resampling.BICUBIC), np.float32), label

    workers = min(os.cpu_count() or 1, 8)
    pairs = iter(domain.pairs if places is None else [domain.pairs[place] for place in places])
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(read, pair) for pair in itertools.islice(pairs, 2 * workers)]
        while waiting:
            result = waiting.pop(0)
            waiting.extend(pool.submit(read, pair) for pair in itertools.islice(pairs, 1))
            error = result.exception()
            if skip is not None and isinstance(error, DataError):
                skip(error)
            else:
                yield result.result()
