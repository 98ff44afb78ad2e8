"""ConvNeXt: layer norm in place of batch norm, so that settings of batch norm change nothing in this backbone.

Source: Liu et al. 2022, arXiv 2201.03545.
"""

import keras
import tensorflow as tf
from keras import layers

from ass_tf.models.blocks import dilations, standardise

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, RGB, 0 to 1
EPSILON = 1e-6


def build(images, batch_norm, output_stride, name, blocks, widths):
    """ConvNeXt up to its last block and norm, named as in `keras.applications`.

    Returns:
        features, skip: of the output stride, and of stride 4.
    """
    deviation, mean = [255 * d for d in DEVIATION], [255 * m for m in MEAN]
    x = standardise(mean, deviation, f"{name}_prestem_normalization")(images)
    x = layers.Conv2D(widths[0], 4, strides=4, name=f"{name}_stem_conv")(x)
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_stem_layernorm")(x)
    stages, skip = dilations((1, 2, 2, 2), output_stride, reached=4), None
    for stage, (count, width, (stride, before, after)) in enumerate(zip(blocks, widths, stages)):
        if stage:
            x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_downsampling_layernorm_{stage - 1}")(x)
            x = layers.Conv2D(
                width,
                2,
                strides=stride,
                dilation_rate=before,
                padding="valid" if stride > 1 else "same",
                name=f"{name}_downsampling_conv_{stage - 1}",
            )(x)
        for block in range(count):
            x = _block(x, width, after, f"{name}_stage_{stage}_block_{block}")
        skip = skip if stage else x
    return layers.LayerNormalization(epsilon=EPSILON, name="layer_normalization")(x), skip


def _block(inputs, width, dilation, name):
    x = layers.DepthwiseConv2D(7, padding="same", dilation_rate=dilation, name=f"{name}_depthwise_conv")(inputs)
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_layernorm")(x)
    x = layers.Dense(4 * width, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation(gelu, name=f"{name}_gelu")(x)
    x = layers.Dense(width, name=f"{name}_pointwise_conv_2")(x)
    return layers.Add()([inputs, Scale(name=f"{name}_layer_scale")(x)])


def gelu(x):
    """GELU by `erf`. TensorFlow's own graph of it holds `erfc`, which tf2onnx does not know."""
    return x * (0.5 + 0.5 * tf.math.erf(x * (0.5**0.5)))


class Scale(layers.Layer):
    """A factor for each channel, small at first."""

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma", shape=(input_shape[-1],), initializer=keras.initializers.Constant(1e-6)
        )

    def call(self, inputs):
        """(b, h, w, c) -> the same."""
        return inputs * self.gamma
