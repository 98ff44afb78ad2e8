"""Backbones: images RGB 0 to 255 in, features out, with strides beyond the output stride turned into dilations.

Padding is symmetric everywhere, so that the centre of feature cell i is pixel `output_stride * i`, as in AdaptSegNet.
A new backbone is a function `(images, batch_norm, output_stride) -> features` and a row of BACKBONES.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from keras import layers

EPSILON = 1e-5  # of AdaptSegNet's batch norm; Keras' default is another


CAFFE_BGR_MEAN = (104.00698793, 116.66876762, 122.67891434)


def _conv(x, filters, kernel_size, name, stride=1, dilation=1):
    """Convolution without bias, padded symmetrically by `dilation * (kernel_size // 2)` pixels."""
    pad = dilation * (kernel_size // 2)
    padding = "same"  # symmetric as long as nothing is skipped
    if stride > 1:
        padding = "valid"
        x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x) if pad else x
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        dilation_rate=dilation,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _scale_bgr(images):
    """RGB 0..255 -> BGR minus the mean of Caffe's models."""
    return layers.Rescaling(1.0, offset=[-m for m in CAFFE_BGR_MEAN], name="normalise")(images[..., ::-1])


def _scale_unit(images):
    """RGB 0..255 -> RGB -1..1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(images)


def _dilations(strides, output_stride, reached):
    """Turns the strides of successive stages that would pass `output_stride` into dilations.

    Returns:
        [(stride, dilation before, dilation after), ...]: the convolution that would carry the stride sees the grid as
            it was before, those behind it the grid as the stride would have left it.
    """
    stages, dilation = [], 1
    for stride in strides:
        before = dilation
        if reached * stride > output_stride:
            stride, dilation = 1, dilation * stride
        reached *= stride
        stages.append((stride, before, dilation))
    return stages


def _resnet(images, batch_norm, output_stride, blocks):
    """ResNet with Caffe's strides (in the first 1x1); layers are named as in `keras.applications`."""
    x = _conv(_scale_bgr(images), 64, 7, "conv1_conv", stride=2)
    x = layers.ReLU()(batch_norm(name="conv1_bn")(x))
    # PyTorch's ceil-mode pool: one column more on the right gives floor(n / 2) + 1 cells for odd and even n. Padding
    # with zeros is exact after a ReLU.
    x = layers.ZeroPadding2D(((1, 2), (1, 2)), name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    stages = _dilations((1, 2, 2, 2), output_stride, reached=4)
    for stage, (count, (stride, _, dilation)) in enumerate(zip(blocks, stages), start=2):
        width = 16 * 2**stage
        for block in range(1, count + 1):
            x = _bottleneck(x, batch_norm, width, f"conv{stage}_block{block}", stride, dilation, shortcut=block == 1)
            stride = 1
    return x


def _bottleneck(x, batch_norm, width, name, stride, dilation, shortcut):
    residual = x
    if shortcut:
        residual = batch_norm(name=f"{name}_0_bn")(_conv(x, 4 * width, 1, f"{name}_0_conv", stride=stride))
    x = layers.ReLU()(batch_norm(name=f"{name}_1_bn")(_conv(x, width, 1, f"{name}_1_conv", stride=stride)))
    x = layers.ReLU()(batch_norm(name=f"{name}_2_bn")(_conv(x, width, 3, f"{name}_2_conv", dilation=dilation)))
    x = batch_norm(name=f"{name}_3_bn")(_conv(x, 4 * width, 1, f"{name}_3_conv"))
    return layers.ReLU()(layers.Add()([x, residual]))


def _mobilenetv2(images, batch_norm, output_stride):
    """MobileNetV2 up to its last bottleneck (320 channels), named as in `keras.applications`, padded symmetrically."""
    x = layers.ReLU(6.0)(batch_norm(name="bn_Conv1")(_conv(_scale_unit(images), 32, 3, "Conv1", stride=2)))
    widths, counts = (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1)
    stages = _dilations((1, 2, 2, 2, 1, 2, 1), output_stride, reached=2)
    index = 0
    for width, count, (stride, before, after) in zip(widths, counts, stages):
        for block in range(count):
            x = _inverted_residual(x, batch_norm, width, index, 1 if block else stride, after if block else before)
            index += 1
    return x


def _inverted_residual(x, batch_norm, width, index, stride, dilation):
    name = f"block_{index}" if index else "expanded_conv"
    inputs, channels = x, x.shape[-1]
    if index:
        x = layers.ReLU(6.0)(batch_norm(name=f"{name}_expand_BN")(_conv(x, 6 * channels, 1, f"{name}_expand")))
    if stride > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        dilation_rate=dilation,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = layers.ReLU(6.0)(batch_norm(name=f"{name}_depthwise_BN")(x))
    x = batch_norm(name=f"{name}_project_BN")(_conv(x, width, 1, f"{name}_project"))
    return layers.Add()([inputs, x]) if stride == 1 and channels == width else x


def _tiny(images, batch_norm, output_stride):
    """A small network to train from random weights: a strided stem, then residual blocks of growing dilation."""
    x, stages = _scale_unit(images), _dilations((2, 2, 2, 2), output_stride, reached=1)
    for index, (width, kernel, (stride, dilation, _)) in enumerate(zip((24, 48, 96, 96), (5, 3, 3, 3), stages)):
        x = layers.ReLU()(batch_norm(name=f"stem{index}_bn")(_conv(x, width, kernel, f"stem{index}", stride, dilation)))
    for index, factor in enumerate((1, 2, 4)):
        dilation = factor * stages[-1][2]
        residual = x
        for part in "ab":
            name = f"block{index}{part}"
            x = batch_norm(name=f"{name}_bn")(_conv(x, 96, 3, name, dilation=dilation))
            x = layers.ReLU()(x if part == "a" else layers.Add()([x, residual]))
    return x


@dataclasses.dataclass(frozen=True)
class Backbone:
    """What the rest of the package knows of a backbone.

    Attributes:
        build: (images float32 (b, h, w, 3), batch norm layer's constructor, output_stride) -> features (b, u, v, d).
        epsilon: of batch norm, a part of the function that its ImageNet weights were trained in.
        application: name of the model in `keras.applications` whose layers have the same names; None: there is none.
    """

    build: Callable[[Any, Callable[..., Any], int], Any]
    epsilon: float = EPSILON
    application: str | None = None


BACKBONES = {
    "resnet101": Backbone(partial(_resnet, blocks=(3, 4, 23, 3)), application="ResNet101"),
    "resnet50": Backbone(partial(_resnet, blocks=(3, 4, 6, 3)), application="ResNet50"),
    "mobilenetv2": Backbone(_mobilenetv2, epsilon=1e-3, application="MobileNetV2"),
    "tiny": Backbone(_tiny),
}
