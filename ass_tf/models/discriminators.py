"""D_g, D_s (FCSA) and D_s (CSA) as Keras functional models; their losses are in `losses`.

Source: Wang et al. 2020, arXiv 2004.00794, sections 3.2 and 3.3; D_g as in Tsai et al. 2018, arXiv 1802.10349.
"""

import math

import keras
from keras import layers

SLOPE = 0.2  # of every LeakyReLU


def _initialisers(fan_in):
    """PyTorch's defaults for kernel and bias: both U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = 1 / math.sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }


def _leaky(x):
    return layers.LeakyReLU(SLOPE)(x)  # Keras 2 and 3 name this argument differently


def build_global_discriminator(num_classes, width=64):
    """D_g: five 4x4 convolutions of stride 2 over class probabilities.

    Args:
        num_classes: int, c.
        width: int, channels of the first convolution.

    Returns:
        keras.Model, probs float32 (b, h, w, c) -> logits float32 (b, ~h / 32, ~w / 32, 2), channels SOURCE, TARGET.
    """
    x = probs = keras.Input((None, None, num_classes), name="probs")
    for index, filters in enumerate((width, 2 * width, 4 * width, 8 * width, 2)):
        fan_in = 16 * x.shape[-1]
        x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(filters, 4, strides=2, name=f"conv{index}", **_initialisers(fan_in))(x)
        x = _leaky(x) if index < 4 else x
    return keras.Model(probs, _float32(x), name="global_discriminator")


def build_fcsa_discriminator(num_classes, channels, width=1024):
    """D_s of FCSA: two fully connected layers on class vectors.

    Args:
        num_classes: int, c.
        channels: int, d.
        width: int, hidden channels.

    Returns:
        keras.Model, float32 (b, c, d) -> logits float32 (b, c, 2c): c channels of the source, c of the target.
    """
    vectors = keras.Input((num_classes, channels), name="class_vectors")
    x = _leaky(layers.Dense(width, name="dense0", **_initialisers(channels))(vectors))
    x = layers.Dense(2 * num_classes, name="dense1", **_initialisers(width))(x)
    return keras.Model(vectors, _float32(x), name="fcsa_discriminator")


def build_csa_discriminator(num_classes, channels, width=1024):
    """D_s of CSA: two 1x1 convolutions on the feature map.

    Args:
        num_classes: int, c.
        channels: int, d.
        width: int, hidden channels.

    Returns:
        keras.Model, float (b, u, v, d) -> logits float32 (b, u, v, 2c): c channels of the source, c of the target.
    """
    features = keras.Input((None, None, channels), name="features")
    x = _leaky(layers.Conv2D(width, 1, name="conv0", **_initialisers(channels))(features))
    x = layers.Conv2D(2 * num_classes, 1, name="conv1", **_initialisers(width))(x)
    return keras.Model(features, _float32(x), name="csa_discriminator")


def _float32(x):
    """Scores leave in float32 under every precision policy."""
    return layers.Activation("linear", dtype="float32", name="logits")(x)
