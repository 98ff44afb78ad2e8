"""Batch norm by TensorFlow's fused operation, and its running statistics: kept, replaced, or taken from elsewhere."""

import contextlib
import math
import threading
from collections import Counter
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from keras import layers

MOMENTUM = 0.9  # AdaptSegNet's; Keras' default is another


class BatchNorm(layers.BatchNormalization):
    """Keras' layer, in training by TensorFlow's FusedBatchNormV3; the same function, the same variables.

    Keras 3 composes it of single operations, in float32 under every precision. The fused one takes 16-bit numbers as
    they are and keeps its statistics in float32. Synchronised over replicas, all sums go in one message each way; Keras
    sends three and two.

    Args:
        learn_scale: bool. Gamma and beta are among the variables that G learns.
    """

    def __init__(self, *, learn_scale=False, **options):
        super().__init__(**options)
        self.learn_scale = learn_scale

    def get_config(self):
        return {**super().get_config(), "learn_scale": self.learn_scale}

    def call(self, inputs, training=None, mask=None):
        """float (b, h, w, c) -> the same, in the layer's compute dtype."""
        if mask is not None:
            return super().call(inputs, training=training, mask=mask)
        inputs = tf.cast(inputs, self.compute_dtype)
        if not training:
            return self._by_running_statistics(inputs)
        if not self.trainable:
            return self._frozen(inputs)
        context = tf.distribute.get_replica_context() if self.synchronized else None
        return self._by_statistics_of_all(inputs, context) if context else self._by_batch_statistics(inputs)

    def _by_batch_statistics(self, inputs):
        nothing = tf.zeros([0])
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=_value(self.gamma),
            offset=_value(self.beta),
            mean=nothing,
            variance=nothing,
            epsilon=self.epsilon,
            is_training=True,
        )
        if self._momentum_here() < 1:
            # The operation returns the unbiased variance, Keras 3 keeps the biased one.
            self._keep(mean, variance, (_count(inputs) - 1) / _count(inputs))
        return outputs

    def _by_statistics_of_all(self, inputs, context):
        """By those of the batches of all replicas, each of which has as many images as another."""
        values = tf.cast(inputs, tf.float32)
        sums = tf.stack([tf.reduce_sum(values, (0, 1, 2)), tf.reduce_sum(tf.square(values), (0, 1, 2))])
        count = tf.cast(_count(inputs), tf.float32) * context.num_replicas_in_sync
        mean, of_squares = tf.unstack(context.all_reduce("SUM", sums) / count)
        variance = tf.maximum(of_squares - tf.square(mean), 0.0)
        if self._momentum_here() < 1:
            self._keep(tf.stop_gradient(mean), tf.stop_gradient(variance), 1.0)
        factor = _value(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return tf.cast(values * factor + (_value(self.beta) - mean * factor), inputs.dtype)

    def _keep(self, mean, variance, factor):
        """The running statistics move towards a batch's, now or at the end of `moved_together`; the variance times a
        factor."""
        momentum = self._momentum_here()
        share = 1.0 - momentum
        moves = [
            _Move(here(self.moving_mean), mean, momentum, share),
            _Move(here(self.moving_variance), variance, momentum, share * factor),
        ]
        waiting = getattr(_thread, "moves", None)
        if waiting is not None and isinstance(factor, float):
            waiting.extend(moves)
            return
        for move in moves:
            move.running.assign(move.running * move.momentum + move.new * move.share)

    def _momentum_here(self):
        return getattr(_thread, "momenta", {}).get(id(self), self.momentum)

    def _by_running_statistics(self, inputs):
        """Not the fused operation: TensorFlow hands it to oneDNN together with the convolution before it, which then
        took 35 times as long on a CPU without AVX-512."""
        factor = self._factor()
        offset = _value(self.beta) - _value(self.moving_mean) * factor
        return tf.cast(tf.cast(inputs, tf.float32) * factor + offset, inputs.dtype)

    def _factor(self):
        return _value(self.gamma) * tf.math.rsqrt(_value(self.moving_variance) + self.epsilon)

    def _frozen(self, inputs):
        """By running statistics in training, with a gradient that does not sum up those of gamma and beta."""
        factor = self._factor()
        outputs = tf.stop_gradient(self._by_running_statistics(inputs))

        @tf.custom_gradient
        def passed(inputs):
            return outputs, lambda pull: pull * tf.cast(factor, pull.dtype)

        return passed(inputs)


class _Move(NamedTuple):
    """running -> momentum x running + share x new."""

    running: tf.Variable
    new: tf.Tensor
    momentum: float
    share: float


_thread = threading.local()  # every replica traces its passes in its own thread; they take turns within a pass


@contextlib.contextmanager
def moved_together():
    """Within the context passes leave all running statistics as they are; at its end they move, in the passes' order.

    The values are those of moving them one by one. The graph needs a fraction of the operations: vectors that join
    the statistics of all layers move once per pass.
    """
    _thread.moves = moves = []
    try:
        yield
    finally:
        _thread.moves = None
    values = {move.running.ref(): tf.convert_to_tensor(move.running) for move in moves}
    rounds, count = [], Counter()
    for move in moves:
        key = move.running.ref()
        if count[key] == len(rounds):
            rounds.append([])
        rounds[count[key]].append(move)
        count[key] += 1
    for one in rounds:
        keys = [move.running.ref() for move in one]
        sizes = [key.deref().shape[0] for key in keys]
        momentum, share = (np.repeat(np.float32(f), sizes) for f in zip(*((m.momentum, m.share) for m in one)))
        joined = tf.concat([values[key] for key in keys], 0) * momentum + tf.concat([m.new for m in one], 0) * share
        values.update(zip(keys, tf.split(joined, sizes)))
    for key, value in values.items():
        key.deref().assign(value)


def here(variable):
    """The tf.Variable of this replica, by which it is read and assigned; an assignment asks no other replica."""
    variable = variable if isinstance(variable, tf.Variable) else variable.value  # of Keras 3's
    local, context = tf.distribute.get_strategy().experimental_local_results(variable), None
    if len(local) > 1:
        context = tf.distribute.get_replica_context()
    place = context.replica_id_in_sync_group if context else 0
    return local[int(tf.get_static_value(place)) % len(local)]


def _count(inputs):
    """How many vectors of channels there are: int where the size is known, else a float32 scalar."""
    return math.prod(n or 0 for n in inputs.shape[:-1]) or tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)


def _value(variable):
    return tf.convert_to_tensor(here(variable))


def norms_of(generator):
    """Its batch norm layers, in their order."""
    return [layer for layer in generator.layers if isinstance(layer, layers.BatchNormalization)]


@contextlib.contextmanager
def momentum_set(generator, momentum):
    """Sets the momentum of all batch norm within the context, for this replica: at 1 a training pass keeps the running
    statistics, at 0 it replaces them."""
    before = getattr(_thread, "momenta", {})
    _thread.momenta = {**before, **{id(norm): momentum for norm in norms_of(generator)}}
    try:
        yield
    finally:
        _thread.momenta = before


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
