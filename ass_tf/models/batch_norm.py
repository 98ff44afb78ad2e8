"""The running statistics of a network's batch norm: kept, replaced, or taken from other images."""

import contextlib

import numpy as np
import tensorflow as tf
from keras import layers

MOMENTUM = 0.9  # AdaptSegNet's; Keras' default is another


def norms_of(generator):
    """Its batch norm layers, in their order."""
    return [layer for layer in generator.layers if isinstance(layer, layers.BatchNormalization)]


@contextlib.contextmanager
def momentum_set(generator, momentum):
    """Sets the momentum of all batch norm within the context: at 1 a training pass keeps the running statistics,
    at 0 it replaces them."""
    norms = norms_of(generator)
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    try:
        yield
    finally:
        for norm, own in zip(norms, before):
            norm.momentum = own


def take_statistics(generator, batches):
    """Sets all running means and variances to the averages of those that batches of images have.

    As in training every layer sees its input normalised by the batch's own statistics.

    Args:
        generator: keras.Model, its batch norm not frozen.
        batches: float32 (b, h, w, 3) each, RGB, 0 to 255; at least one.
    """
    statistics = [s for norm in norms_of(generator) for s in (norm.moving_mean, norm.moving_variance)]
    totals, count = [np.zeros(s.shape) for s in statistics], 0
    with momentum_set(generator, 0.0):  # each batch replaces what the one before it has left
        forward = tf.function(lambda images: generator(images, training=True), autograph=False, reduce_retracing=True)
        for images in batches:
            forward(tf.constant(images))
            totals, count = [t + s.numpy() for t, s in zip(totals, statistics)], count + 1
    for total, statistic in zip(totals, statistics):
        statistic.assign((total / count).astype(np.float32))
