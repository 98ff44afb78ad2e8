"""ImageNet weights of `keras.applications`, for a generator with the same backbone."""

import re
import warnings

import keras
from keras import layers

from ass_tf.config.backbones import BACKBONES
from ass_tf.models import HEAD
from ass_tf.weights import torch_names


def load_backbone(generator, backbone, weights):
    """Takes over the weights of the `keras.applications` model of the same name, layer by layer.

    The ResNets there have biases, which go into the running means, and epsilon 1.001e-5, whose difference goes into the
    running variances: the function is the same wherever running statistics are used.

    Args:
        generator: keras.Model of that backbone.
        backbone: key of BACKBONES.
        weights: "imagenet" (downloaded by Keras), or a weights file (.weights.h5 or .h5) of that model without top.

    Raises:
        ValueError: the file cannot be read, does not fit, or holds values that cannot be.
    """
    source = f"{weights}: " if weights != "imagenet" else "ImageNet weights: "
    name = BACKBONES[backbone].application
    if name is None:
        raise ValueError(f"{source}keras.applications has no {backbone}.")
    if weights.endswith((".pth", ".pt", ".tar")):
        raise ValueError(
            f"{source}is PyTorch's; python -m ass_tf.weights {weights} --out FILE.safetensors converts it."
        )
    try:
        named = "imagenet" if weights == "imagenet" else None
        application = getattr(keras.applications, name)(include_top=False, weights=named, input_shape=(None, None, 3))
        if named is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a line for each layer, before the error
                application.load_weights(weights)
    except Exception as error:  # Keras raises many kinds here
        reason = next(line for line in [*str(error).splitlines(), repr(error)] if line and not line.endswith(":"))
        raise ValueError(f"{source}no weights of keras.applications' {backbone} could be read: {reason}") from None
    # Keras numbers the layers that have no name of their own.
    found = {re.sub(r"(layer_normalization)_\d+$", r"\1", layer.name): layer for layer in _flat(application)}
    for layer in generator.layers:
        if layer.name.startswith(HEAD) or not layer.weights:
            continue
        theirs = found[layer.name]
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = theirs.get_weights()
            conv = layer.name.replace("_bn", "_conv")
            if BACKBONES[backbone].module == "resnet" and application.get_layer(conv).use_bias:
                mean = mean - application.get_layer(conv).get_weights()[1]
            layer.set_weights([gamma, beta, mean, variance + (theirs.epsilon - layer.epsilon)])
        else:
            shapes = [tuple(weight.shape) for weight in layer.weights]  # without the bias of a ResNet's
            layer.set_weights([value.reshape(shape) for value, shape in zip(theirs.get_weights(), shapes)])
    for tensor, value in torch_names.state_of(generator).items():
        torch_names.checked(f"{source}{tensor}", value)


def _flat(model):
    """Its layers, and those within them."""
    for layer in model.layers:
        yield from _flat(layer) if hasattr(layer, "layers") else [layer]
