"""G and CH: a backbone and a head as a Keras functional model, raw images in, features and logits out.

The geometry is AdaptSegNet's: see `blocks` and `resize`.

Source: Tsai et al. 2018 (AdaptSegNet), arXiv 1802.10349.
"""

import importlib
from functools import partial

import keras
from keras import layers

from ass_tf.config.backbones import BACKBONES
from ass_tf.models import HEAD, heads
from ass_tf.models.batch_norm import MOMENTUM, BatchNorm


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
        synchronized=synchronised,
        learn_scale=model.learn_scale,
    )
    images = keras.Input((None, None, 3), name="image")
    build = importlib.import_module(f"ass_tf.models.backbones.{backbone.module}").build
    # Keras: not trainable also means running statistics. The head has none that were loaded.
    of_backbone = partial(batch_norm, trainable=model.batch_norm != "frozen")
    features, skip = build(images, of_backbone, model.output_stride, **backbone.options)
    features, scores = heads.build(features, skip, num_classes, model, batch_norm)
    logits = layers.Activation("linear", dtype="float32", name="logits")(scores)
    return keras.Model(images, [features, logits], name="generator")


def variables_of(generator):
    """The variables that G learns: kernels and biases, and batch norm's gamma and beta if its settings say so.

    Returns:
        backbone, head: lists of variables.
    """
    backbone, head = [], []
    for layer in generator.layers:
        if not isinstance(layer, layers.BatchNormalization) or layer.learn_scale:
            (head if layer.name.startswith(HEAD) else backbone).extend(layer.trainable_variables)
    return backbone, head
