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
    seen = tf.reshape(tf.matmul(tf.reshape(inputs, (-1, channels)), by_tap), (-1, h, w, side * side, filters))
    reach = [(place - side // 2) * rate for place in range(side)]
    return _sum_of_taps(seen, [(down, right) for down in reach for right in reach])


def _sum_of_taps(seen, shifts):
    """float (b, h, w, n, d) -> float32 (b, h, w, d), of n maps each shifted by its own (down, right).

    The gradient is written out: TensorFlow's takes four times as many operations, which a graph's making has to pay.
    """

    @tf.custom_gradient
    def added(seen):
        moved = [_shifted(tf.cast(maps, tf.float32), *shift) for maps, shift in zip(tf.unstack(seen, axis=3), shifts)]

        def gradient(pull):
            pull = tf.cast(pull, seen.dtype)
            back = [_shifted(pull, -down, -right) for down, right in shifts]
            return tf.stack([tf.zeros_like(pull) if maps is None else maps for maps in back], axis=3)

        return tf.stop_gradient(tf.add_n([maps for maps in moved if maps is not None])), gradient

    return added(seen)


def _shifted(maps, down, right):
    """What lies `down` and `right` of each cell, zeros beyond the edge; None where nothing but padding is left."""
    batch, h, w, channels = maps.shape
    if abs(down) >= h or abs(right) >= w:
        return None
    if (down, right) == (0, 0):
        return maps
    size = -1 if batch is None else batch, h - abs(down), w - abs(right), channels
    inside = tf.slice(maps, (0, max(down, 0), max(right, 0), 0), size)
    return tf.pad(inside, ((0, 0), (max(-down, 0), max(down, 0)), (max(-right, 0), max(right, 0)), (0, 0)))
