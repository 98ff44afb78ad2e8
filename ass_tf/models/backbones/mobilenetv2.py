"""MobileNetV2.

Source: Sandler et al. 2018, arXiv 1801.04381.
"""

from keras import layers

from ass_tf.models.blocks import convolution, dilations, scale_to_unit
from ass_tf.models.depthwise import DepthwiseConv2D


def build(images, batch_norm, output_stride):
    """MobileNetV2 up to its last bottleneck (320 channels), named as in `keras.applications`, padded symmetrically.

    Returns:
        features, skip: of the output stride, and of stride 4.
    """
    x = layers.ReLU(6.0)(batch_norm(name="bn_Conv1")(convolution(scale_to_unit(images), 32, 3, "Conv1", stride=2)))
    widths, counts = (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1)
    stages = dilations((1, 2, 2, 2, 1, 2, 1), output_stride, reached=2)
    index, skip = 0, None
    for width, count, (stride, before, after) in zip(widths, counts, stages):
        for block in range(count):
            x = _inverted_residual(x, batch_norm, width, index, 1 if block else stride, after if block else before)
            index += 1
        skip = x if width == 24 else skip
    return x, skip


def _inverted_residual(x, batch_norm, width, index, stride, dilation):
    name = f"block_{index}" if index else "expanded_conv"
    inputs, channels = x, x.shape[-1]
    if index:
        x = layers.ReLU(6.0)(batch_norm(name=f"{name}_expand_BN")(convolution(x, 6 * channels, 1, f"{name}_expand")))
    if stride > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = DepthwiseConv2D(
        3,
        strides=stride,
        dilation_rate=dilation,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = layers.ReLU(6.0)(batch_norm(name=f"{name}_depthwise_BN")(x))
    x = batch_norm(name=f"{name}_project_BN")(convolution(x, width, 1, f"{name}_project"))
    return layers.Add()([inputs, x]) if stride == 1 and channels == width else x
