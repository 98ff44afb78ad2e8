"""What the backbones share.

Padding is symmetric everywhere, so that the centre of feature cell i is pixel `output_stride * i`, as in AdaptSegNet.
"""

from keras import layers


def convolution(x, filters, kernel_size, name, stride=1, dilation=1):
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


def scale_to_unit(images):
    """RGB 0..255 -> RGB -1..1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(images)


def standardise(mean, deviation, name):
    """(x - mean) / deviation for each channel.

    `layers.Normalization` holds its numbers in tensors outside the graph, which tf2onnx makes inputs of the model.
    """
    return layers.Rescaling([1 / d for d in deviation], offset=[-m / d for m, d in zip(mean, deviation)], name=name)


def dilations(strides, output_stride, reached):
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
