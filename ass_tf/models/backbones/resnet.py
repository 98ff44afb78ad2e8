"""ResNet with Caffe's strides, as AdaptSegNet has it.

Source: He et al. 2016, arXiv 1512.03385.
"""

from keras import layers

from ass_tf.models import CAFFE_BGR_MEAN
from ass_tf.models.blocks import convolution, dilations


def scale_to_bgr(images):
    """RGB 0..255 -> BGR minus the mean of Caffe's models."""
    return layers.Rescaling(1.0, offset=[-m for m in CAFFE_BGR_MEAN], name="normalise")(images[..., ::-1])


def build(images, batch_norm, output_stride, blocks):
    """ResNet with Caffe's strides (in the first 1x1); layers are named as in `keras.applications`.

    Returns:
        features, skip: of the output stride, and of stride 4.
    """
    x = convolution(scale_to_bgr(images), 64, 7, "conv1_conv", stride=2)
    x = layers.ReLU()(batch_norm(name="conv1_bn")(x))
    # PyTorch's ceil-mode pool: one column more on the right gives floor(n / 2) + 1 cells for odd and even n. Padding
    # with zeros is exact after a ReLU.
    x = layers.ZeroPadding2D(((1, 2), (1, 2)), name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    stages, skip = dilations((1, 2, 2, 2), output_stride, reached=4), None
    for stage, (count, (stride, _, dilation)) in enumerate(zip(blocks, stages), start=2):
        width = 16 * 2**stage
        for block in range(1, count + 1):
            x = _bottleneck(x, batch_norm, width, f"conv{stage}_block{block}", stride, dilation, shortcut=block == 1)
            stride = 1
        skip = x if stage == 2 else skip
    return x, skip


def _bottleneck(x, batch_norm, width, name, stride, dilation, shortcut):
    residual = x
    if shortcut:
        residual = batch_norm(name=f"{name}_0_bn")(convolution(x, 4 * width, 1, f"{name}_0_conv", stride=stride))
    x = layers.ReLU()(batch_norm(name=f"{name}_1_bn")(convolution(x, width, 1, f"{name}_1_conv", stride=stride)))
    x = layers.ReLU()(batch_norm(name=f"{name}_2_bn")(convolution(x, width, 3, f"{name}_2_conv", dilation=dilation)))
    x = batch_norm(name=f"{name}_3_bn")(convolution(x, 4 * width, 1, f"{name}_3_conv"))
    return layers.ReLU()(layers.Add()([x, residual]))
