"""Loss scaling, which float16 needs: its smallest numbers would lose most gradients."""

import tensorflow as tf


class LossScale:
    """Dynamic scaling for float16: halved when gradients overflow, doubled after 2000 steps without.

    Attributes:
        scale, good_steps: tf.Variable, part of every checkpoint.
    """

    def __init__(self, initial=2.0**15, grow_after=2000):
        self.scale = tf.Variable(initial, trainable=False, name="loss_scale")
        self.good_steps = tf.Variable(0, trainable=False, name="good_steps")
        self.grow_after = grow_after

    def update(self, finite):
        """Takes note of one step: finite bool ()."""
        grown = tf.where(self.good_steps + 1 >= self.grow_after, 2.0 * self.scale, self.scale)
        self.scale.assign(tf.where(finite, grown, tf.maximum(self.scale / 2.0, 1.0)))
        self.good_steps.assign(tf.where(finite & (self.good_steps + 1 < self.grow_after), self.good_steps + 1, 0))
