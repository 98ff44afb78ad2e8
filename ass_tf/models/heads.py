"""The heads of the generator: from the backbone's features to F, which D_s also sees, and the classes' scores.

Source: Chen et al. 2017 (DeepLab-v2), arXiv 1606.00915; Chen et al. 2018 (DeepLab-v3+), arXiv 1802.02611.
"""

import math

import keras
import tensorflow as tf
from keras import layers

from ass_tf.models import HEAD, resize
from ass_tf.models.blocks import convolution
from ass_tf.models.depthwise import DepthwiseConv2D
from ass_tf.models.taps import Conv2D

SKIP_CHANNELS = 48  # of the stride-4 features, as in the paper of DeepLab-v3+


def build(features, skip, num_classes, model, batch_norm):
    """The head that the settings name.

    Args:
        features: (b, h / output_stride, w / output_stride, d) of the backbone.
        skip: (b, h / 4, w / 4, e) of the backbone.
        num_classes: int, c.
        model: schema.Model.
        batch_norm: constructor of batch norm layers.

    Returns:
        features: F, what the last classifying layer sees.
        scores: (b, u, v, c).
    """
    if model.head == "deeplabv2":
        return features, _deeplabv2(features, num_classes, model.rates)
    return _deeplabv3plus(features, skip, num_classes, model, batch_norm)


def _deeplabv2(features, num_classes, rates):
    """3x3 branches at several dilations, summed."""
    branches = [_classifier(features, num_classes, 3, index, rate) for index, rate in enumerate(rates)]
    return layers.Add()(branches) if len(branches) > 1 else branches[0]


def _deeplabv3plus(features, skip, num_classes, model, batch_norm):
    """Separable branches at several dilations beside a 1x1, joined with the features of stride 4.

    DeepLab-v3+'s pooling over the whole image is left out: its statistics at another image size are others.
    """

    def normed(x, name):
        return layers.ReLU(name=f"{HEAD}{name}_relu")(batch_norm(name=f"{HEAD}{name}_bn")(x))

    def pointwise(x, filters, name):
        return normed(convolution(x, filters, 1, f"{HEAD}{name}"), name)

    def separable(x, name, rate=1):
        x = DepthwiseConv2D(
            3,
            padding="same",
            dilation_rate=rate,
            use_bias=False,
            depthwise_initializer="he_normal",
            name=f"{HEAD}{name}_depthwise",
        )(x)
        return pointwise(normed(x, f"{name}_depthwise"), width, f"{name}_pointwise")

    width = model.head_width
    branches = [pointwise(features, width, "aspp0")]
    branches += [separable(features, f"aspp{index}", rate) for index, rate in enumerate(model.rates, start=1)]
    context = pointwise(layers.Concatenate(name=f"{HEAD}aspp")(branches), width, "joined")
    detail = pointwise(skip, SKIP_CHANNELS, "skip")
    x = layers.Concatenate(name=f"{HEAD}both")([Upsample(name=f"{HEAD}upsample")([context, detail]), detail])
    x = separable(separable(x, "decoder0"), "decoder1")
    return x, _classifier(x, num_classes, 1, 0)


def _classifier(features, num_classes, side, index, rate=1):
    """Convolution to the scores, drawn as in AdaptSegNet, which leaves the biases at PyTorch's default."""
    bound = 1 / math.sqrt(side * side * features.shape[-1])
    return Conv2D(
        num_classes,
        side,
        padding="same",
        dilation_rate=rate,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        name=f"{HEAD}{index}",
    )(features)


class Upsample(layers.Layer):
    """Bilinear resize with aligned corners to the grid of another map."""

    def call(self, inputs):
        """[(b, u, v, c), (b, h, w, d)] -> (b, h, w, c) in the compute dtype."""
        maps, like = inputs
        return tf.cast(resize.upsample(maps, tf.shape(like)[1:3]), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Keras builds functional models by this."""
        maps, like = input_shape
        return (maps[0], like[1], like[2], maps[3])
