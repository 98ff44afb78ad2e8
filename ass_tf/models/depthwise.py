"""Depthwise convolution whose dilated form is one operation in training, where TensorFlow has one."""

import functools

import tensorflow as tf
from keras import layers


class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras' layer for stride 1, "same" padding, an odd kernel and no bias; the same function and variables.

    TensorFlow takes a dilated depthwise convolution apart into one of many small images. Its oneDNN kernel needs no
    such detour, but the gradients that TensorFlow makes for it ignore the dilation, so they are written here. Outside
    training the layer is Keras' own: exported graphs must run where oneDNN is not there.
    """

    def call(self, inputs, training=None):
        """float (b, h, w, c) -> the same."""
        rate = self.dilation_rate[0]
        if not training or rate == 1 or self.strides[0] > 1 or not has_native_dilation():
            return super().call(inputs)
        kernel = self.depthwise_kernel if hasattr(self, "depthwise_kernel") else self.kernel
        return dilated(tf.cast(inputs, self.compute_dtype), tf.cast(kernel, self.compute_dtype), rate)


def _native(inputs, kernel, rate):
    return tf.raw_ops.DepthwiseConv2dNative(
        input=inputs, filter=kernel, strides=[1, 1, 1, 1], padding="SAME", dilations=[1, rate, rate, 1]
    )


def _taken_apart(inputs, kernel, rate):
    return tf.nn.depthwise_conv2d(inputs, kernel, (1, 1, 1, 1), "SAME", dilations=(rate, rate))


def dilated(inputs, kernel, rate):
    """The convolution by oneDNN.

    Args:
        inputs: float (b, h, w, c).
        kernel: of the same type, (n, n, c, 1), n odd.
        rate: int, the dilation.

    Returns:
        float (b, h, w, c).
    """

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradients(pull):
            with tf.GradientTape() as tape:
                tape.watch(kernel)
                outputs = _taken_apart(inputs, kernel, rate)  # of which a graph keeps the gradient alone
            flipped = tf.reverse(kernel, [0, 1])
            return _native(pull, flipped, rate), tape.gradient(outputs, kernel, output_gradients=pull)

        return _native(inputs, kernel, rate), gradients

    return convolve(inputs, kernel)


@functools.lru_cache(maxsize=1)
def has_native_dilation():
    """Whether dilated depthwise convolutions work as one operation here: on CPUs with oneDNN, and not on GPUs."""
    if tf.config.list_physical_devices("GPU"):
        return False
    with tf.init_scope(), tf.device("CPU:0"):
        inputs = tf.random.stateless_normal((1, 8, 8, 4), (0, 0))
        kernel = tf.random.stateless_normal((3, 3, 4, 1), (0, 1))
        try:
            found = _native(inputs, kernel, 2)
        except tf.errors.OpError:
            return False
        return bool(tf.reduce_max(tf.abs(found - _taken_apart(inputs, kernel, 2))) < 1e-4)
