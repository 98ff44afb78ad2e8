"""Backbones of `keras.applications`, rebuilt at an output stride: later strides become dilations, nothing else changes.

Padding is theirs: TensorFlow's "same", whose grid of cells lies a few pixels further down and right than that of the
other backbones.

Source: Howard et al. 2019 (MobileNetV3), arXiv 1905.02244; Tan and Le 2021 (EfficientNetV2), arXiv 2104.00298.
"""

import math

import keras
from keras import layers

from ass_tf.models.blocks import standardise
from ass_tf.models.depthwise import DepthwiseConv2D


def build(images, batch_norm, output_stride, name, features, skip):
    """The application up to the layer `features`, its layers named as there.

    Args:
        images: keras.KerasTensor (b, h, w, 3), RGB, 0 to 255.
        batch_norm: constructor of batch norm layers.
        output_stride: int.
        name: of the function in `keras.applications`.
        features, skip: names of the layers that give the features, and those of stride 4.

    Returns:
        features, skip: of the output stride, and of stride 4.
    """
    application = make(name)
    ends = [layer_of(application, end).output for end in (features, skip)]
    part = keras.Model(application.input, ends)
    changes = _changes(part.layers, output_stride)

    def rebuilt(layer):
        if isinstance(layer, layers.BatchNormalization):
            return batch_norm(name=layer.name)
        if isinstance(layer, layers.Dropout):  # of whole blocks, which a step could not repeat
            return layers.Activation("linear", name=layer.name)
        if isinstance(layer, layers.Normalization):
            known = layer.get_config()
            return standardise(known["mean"], [math.sqrt(variance) for variance in known["variance"]], layer.name)
        kind, config = type(layer), {**layer.get_config(), **changes.get(layer.name, {})}
        if kind is layers.DepthwiseConv2D and config["padding"] == "same" and not config["use_bias"]:
            kind = DepthwiseConv2D
        return kind.from_config(config)

    return keras.models.clone_model(part, input_tensors=images, clone_function=rebuilt).outputs


def make(name, weights=None):
    """The application without top, for images of any size."""
    return getattr(keras.applications, name)(include_top=False, weights=weights, input_shape=(None, None, 3))


def layer_of(application, name):
    """A layer by its Keras 3 name; Keras 2 has slashes and capitals in some."""
    return next(layer for layer in application.layers if layer.name.replace("/", "_").lower() == name)


def _changes(found, output_stride):
    """Layer's name -> what its configuration is to be, for the layers whose stride or dilation is another."""
    changes, reached, dilation, padded = {}, 1, 1, None
    for layer in found:
        if isinstance(layer, layers.ZeroPadding2D):
            padded = layer
        if not isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            continue
        stride, before = layer.strides[0], dilation
        if reached * stride > output_stride:
            dilation *= stride
            changes[layer.name] = {"strides": (1, 1), "padding": "same"}
            if layer.padding == "valid" and padded is not None:  # its padding was made for the stride
                changes[padded.name] = {"padding": ((0, 0), (0, 0))}
        else:
            reached *= stride
        if before > 1 and layer.kernel_size[0] > 1:
            changes.setdefault(layer.name, {})["dilation_rate"] = (before, before)
    return changes
