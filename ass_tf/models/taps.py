"""Convolution to few channels, such as the head's to one for each class, as a matrix product in training on CPUs."""

import tensorflow as tf
from keras import layers

FEW = 1 / 16  # of the channels that come in


class Conv2D(layers.Conv2D):
    """Keras' layer for stride 1, "same" padding and an odd square kernel; the same function and variables.

    Kernels for convolutions on CPUs fill whole vectors with output channels, and are far from the machine's speed with
    few. One product gives what every tap of the kernel sees of every cell; the sum over the taps is then one of shifted
    maps. Outside training, on GPUs, and for images whose size is not known when the graph is made the layer is Keras'
    own.
    """

    def call(self, inputs, training=None):
        """float (b, h, w, c) -> (b, h, w, filters)."""
        known = None not in inputs.shape[1:3] and self.filters <= FEW * inputs.shape[-1]
        if not training or not known or tf.config.list_physical_devices("GPU"):
            return super().call(inputs)
        inputs = tf.cast(inputs, self.compute_dtype)
        outputs = convolve(inputs, tf.cast(self.kernel, self.compute_dtype), self.dilation_rate[0])
        return tf.cast(outputs + tf.cast(self.bias, tf.float32), self.compute_dtype)


def convolve(inputs, kernel, rate):
    """The convolution, padded with zeros to the size of its input.

    Args:
        inputs: float (b, h, w, c); h and w are known.
        kernel: of the same type, (n, n, c, d), n odd.
        rate: int, the dilation.

    Returns:
        float32 (b, h, w, d).
    """
    (_, h, w, channels), (side, _, _, filters) = inputs.shape, kernel.shape
    by_tap = tf.reshape(tf.transpose(kernel, (2, 0, 1, 3)), (channels, -1))
    seen = tf.reshape(tf.matmul(tf.reshape(inputs, (-1, channels)), by_tap), (-1, h, w, side, side, filters))
    total = []
    for y in range(side):
        for x in range(side):
            down, right = (y - side // 2) * rate, (x - side // 2) * rate
            if abs(down) < h and abs(right) < w:  # else the tap sees nothing but padding
                total.append(_shifted(tf.cast(seen[:, :, :, y, x], tf.float32), down, right))
    return tf.add_n(total)


def _shifted(maps, down, right):
    """What lies `down` and `right` of each cell, zeros beyond the edge."""
    h, w = maps.shape[1:3]
    inside = maps[:, max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
    return tf.pad(inside, ((0, 0), (max(-down, 0), max(down, 0)), (max(-right, 0), max(right, 0)), (0, 0)))
