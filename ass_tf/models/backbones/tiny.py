"""A small network for tests and the demo."""

from keras import layers

from ass_tf.models.blocks import convolution, dilations, scale_to_unit


def build(images, batch_norm, output_stride):
    """A small network to train from random weights: a strided stem, then residual blocks of growing dilation.

    Returns:
        features, skip: of the output stride, and of stride 4.
    """
    x, stages, skip = scale_to_unit(images), dilations((2, 2, 2, 2), output_stride, reached=1), None
    for index, (width, kernel, (stride, dilation, _)) in enumerate(zip((24, 48, 96, 96), (5, 3, 3, 3), stages)):
        x = layers.ReLU()(
            batch_norm(name=f"stem{index}_bn")(convolution(x, width, kernel, f"stem{index}", stride, dilation))
        )
        skip = x if index == 1 else skip
    for index, factor in enumerate((1, 2, 4)):
        dilation = factor * stages[-1][2]
        residual = x
        for part in "ab":
            name = f"block{index}{part}"
            x = batch_norm(name=f"{name}_bn")(convolution(x, 96, 3, name, dilation=dilation))
            x = layers.ReLU()(x if part == "a" else layers.Add()([x, residual]))
    return x, skip
