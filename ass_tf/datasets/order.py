"""Which image a sample is: a function of its number and of a seed, so that a run goes on where it was."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf


def key_of(*parts) -> int:
    """Seed made of several parts, below 2^31."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little") >> 1


def index_of(sample, count, key):
    """Place, among `count` files, of the `sample`-th one drawn; each run of `count` samples draws each file once.

    Args:
        sample: int64 scalar.
        count: int.
        key: int, seed of the order.

    Returns:
        index: int64 scalar.
    """
    seed = tf.stack([tf.constant(key, tf.int64), sample // count])
    return tf.random.experimental.index_shuffle(sample % count, seed, tf.constant(count - 1, tf.int64))


def by_class(probabilities: np.ndarray, images: Sequence[np.ndarray], key: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function like `index_of` that draws a class, then one of its images.

    Args:
        probabilities, images: as `balance.sampling_table` returns them.
        key: int, seed.
    """
    bounds = tf.constant(np.cumsum(probabilities), tf.float32)
    starts = tf.constant(np.cumsum([0, *(len(held) for held in images)]), tf.int64)
    places = tf.constant(np.concatenate(images), tf.int64)
    last = int(np.flatnonzero(probabilities)[-1])  # rounding may leave the last bound below a draw

    def index(sample):
        seed = tf.stack([tf.constant(key, tf.int64), sample])
        draws = tf.random.stateless_uniform([2], seed, alg="philox")
        drawn = tf.minimum(tf.searchsorted(bounds, draws[:1], side="right")[0], last)
        start, end = starts[drawn], starts[drawn + 1]
        within = tf.cast(draws[1] * tf.cast(end - start, tf.float32), tf.int64)
        return places[tf.minimum(start + within, end - 1)]

    return index
