"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation and with ReLU6, made for 8-bit integers.

Padding is TensorFlow's "same", as its weights were trained with.

Source: Tan and Le 2019 (EfficientNet), arXiv 1905.11946; Liu 2020, "Higher accuracy on vision models with
EfficientNet-Lite", TensorFlow's blog; the widths and depths from the file of weights.
"""

import math

from keras import layers

from ass_tf.models.blocks import dilations
from ass_tf.models.depthwise import DepthwiseConv2D

# Of each stage: expansion, channels, blocks, stride, kernel.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def build(images, batch_norm, output_stride, width, depth):
    """EfficientNet-Lite up to its last block.

    Args:
        images: keras.KerasTensor (b, h, w, 3), RGB, 0 to 255.
        batch_norm: constructor of batch norm layers.
        output_stride: int.
        width, depth: floats. Factors of the stages' channels and blocks; the stem, and the numbers of blocks of the
            first and the last stage, are fixed.

    Returns:
        features, skip: of the output stride, and of stride 4.
    """
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(images)
    x = _normed(_convolution(x, 32, 3, "stem_conv", stride=2), batch_norm, "stem_bn")
    strides = dilations([stage[3] for stage in STAGES], output_stride, reached=2)
    skip = None
    for stage, ((expansion, channels, count, _, kernel), (stride, before, after)) in enumerate(zip(STAGES, strides)):
        repeats = count if stage in (0, len(STAGES) - 1) else math.ceil(depth * count)
        for block in range(repeats):
            first = block == 0
            x = _block(
                x,
                batch_norm,
                f"block{stage + 1}_{block}",
                expansion=expansion,
                channels=_rounded(width * channels),
                kernel=kernel,
                stride=stride if first else 1,
                dilation=before if first else after,
            )
        skip = x if stage == 1 else skip
    return x, skip


def _rounded(channels):
    """The nearest multiple of 8, no more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _convolution(x, filters, kernel, name, stride=1):
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _normed(x, batch_norm, name):
    return layers.ReLU(6.0, name=name.replace("bn", "relu"))(batch_norm(name=name)(x))


def _block(x, batch_norm, name, *, expansion, channels, kernel, stride, dilation):
    inputs = x
    if expansion > 1:
        x = _convolution(x, expansion * x.shape[-1], 1, f"{name}_expand")
        x = _normed(x, batch_norm, f"{name}_expand_bn")
    x = DepthwiseConv2D(
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = _normed(x, batch_norm, f"{name}_depthwise_bn")
    x = batch_norm(name=f"{name}_project_bn")(_convolution(x, channels, 1, f"{name}_project"))
    return layers.Add(name=f"{name}_add")([inputs, x]) if stride == 1 and inputs.shape[-1] == channels else x
