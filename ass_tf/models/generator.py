"""G and CH: DeepLab-v2 as a Keras functional model, raw images in, features and logits out.

The geometry is AdaptSegNet's: see `blocks` and `resize`.

Source: Chen et al. 2017 (DeepLab-v2), arXiv 1606.00915; Tsai et al. 2018 (AdaptSegNet), arXiv 1802.10349.
"""

import importlib
import math
from functools import partial

import keras
from keras import layers

from ass_tf.config.backbones import BACKBONES
from ass_tf.models import HEAD
from ass_tf.models.batch_norm import MOMENTUM, BatchNorm
from ass_tf.models.taps import Conv2D


def build_generator(num_classes, model, *, synchronised=False, backbone=None):
    """G with its head, at random weights; `ass_tf.weights.initial` gives it others.

    Args:
        num_classes: int, c.
        model: schema.Model. With `batch_norm` "frozen", batch norm takes its running statistics in training, too;
            "target" is made like "batch", and the training step keeps the source out of the running statistics.
        synchronised: bool. Statistics over all replicas, so that n replicas compute what one would.
        backbone: Backbone in place of the one that `model` names.

    Returns:
        generator: keras.Model, images float32 (b, h, w, 3) RGB 0..255 -> features (b, u, v, d), logits float32
            (b, u, v, c).
    """
    backbone = backbone or BACKBONES[model.backbone]
    batch_norm = partial(
        BatchNorm,
        momentum=MOMENTUM,
        epsilon=backbone.epsilon,
        trainable=model.batch_norm != "frozen",  # Keras: not trainable also means running statistics
        synchronized=synchronised,
    )
    images = keras.Input((None, None, 3), name="image")
    build = importlib.import_module(f"ass_tf.models.{backbone.module}").build
    features = build(images, batch_norm, model.output_stride, **backbone.options)
    return keras.Model(images, [features, _head(features, num_classes, model.rates)], name="generator")


def _head(features, num_classes, rates):
    """DeepLab-v2's classification module: 3x3 branches at several dilations, summed."""
    bound = 1 / math.sqrt(9 * features.shape[-1])  # AdaptSegNet leaves the biases at PyTorch's default
    branches = [
        Conv2D(
            num_classes,
            3,
            padding="same",
            dilation_rate=rate,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.RandomUniform(-bound, bound),
            name=f"{HEAD}{index}",
        )(features)
        for index, rate in enumerate(rates)
    ]
    total = layers.Add()(branches) if len(branches) > 1 else branches[0]
    return layers.Activation("linear", dtype="float32", name="logits")(total)


def variables_of(generator):
    """The variables that G learns: kernels, and the head's biases; batch norm's gamma and beta stay as they are.

    Returns:
        backbone, head: lists of variables.
    """
    backbone, head = [], []
    for layer in generator.layers:
        if not isinstance(layer, layers.BatchNormalization):
            (head if layer.name.startswith(HEAD) else backbone).extend(layer.trainable_variables)
    return backbone, head
