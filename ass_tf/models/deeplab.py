"""G and CH: DeepLab-v2 as a Keras functional model, raw images in, features and logits out.

The geometry is AdaptSegNet's: padding is symmetric everywhere, so that the centre of feature cell i is pixel
`output_stride * i`, which is why scores are resized with aligned corners. Losses and training are left to others.

Source: Chen et al. 2017 (DeepLab-v2), arXiv 1606.00915; Tsai et al. 2018 (AdaptSegNet), arXiv 1802.10349.
"""

import contextlib
import math
import warnings
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from ass_tf.weights import torch_names

MOMENTUM, EPSILON = 0.9, 1e-5  # AdaptSegNet's batch norm; Keras' defaults are others
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


def _normalise_bgr(images):
    """RGB 0..255 -> BGR minus the mean of Caffe's models."""
    return layers.Rescaling(1.0, offset=[-m for m in CAFFE_BGR_MEAN], name="normalise")(images[..., ::-1])


def _normalise_unit(images):
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
    x = _conv(_normalise_bgr(images), 64, 7, "conv1_conv", stride=2)
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
    x = layers.ReLU(6.0)(batch_norm(name="bn_Conv1")(_conv(_normalise_unit(images), 32, 3, "Conv1", stride=2)))
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
    x, stages = _normalise_unit(images), _dilations((2, 2, 2, 2), output_stride, reached=1)
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


BACKBONES = {
    "resnet101": partial(_resnet, blocks=(3, 4, 23, 3)),
    "resnet50": partial(_resnet, blocks=(3, 4, 6, 3)),
    "mobilenetv2": _mobilenetv2,
    "tiny": _tiny,
}
APPLICATIONS = {
    "resnet101": keras.applications.ResNet101,
    "resnet50": keras.applications.ResNet50,
    "mobilenetv2": keras.applications.MobileNetV2,
}


def build_generator(num_classes, *, backbone, output_stride, rates, weights, batch_norm, synchronised=False):
    """G with its head.

    Args:
        num_classes: int, c.
        backbone: key of BACKBONES, or a callable (images, batch norm builder, output_stride) -> features.
        output_stride: 8 or 16, pixels per feature cell.
        rates: dilations of the head's 3x3 branches, whose outputs are summed.
        weights: "imagenet", a weights file of the `keras.applications` model without top, a file of `ass_tf.weights`
            (.safetensors, whose head is taken if it fits), or None.
        batch_norm: "batch", "target" (the same here; `adversary` keeps the source out of the running statistics), or
            "frozen" (running statistics also in training).
        synchronised: bool. Statistics over all replicas, so that n replicas compute what one would.

    Returns:
        generator: keras.Model, images float32 (b, h, w, 3) RGB 0..255 -> features (b, u, v, d), logits float32
            (b, u, v, c).

    Raises:
        ValueError: `weights` cannot be read or do not fit the backbone.
    """
    normalise = partial(
        layers.BatchNormalization,
        momentum=MOMENTUM,
        epsilon=1e-3 if backbone == "mobilenetv2" else EPSILON,  # a part of the function its weights were trained in
        trainable=batch_norm != "frozen",  # Keras: not trainable also means running statistics
        synchronized=synchronised,
    )
    images = keras.Input((None, None, 3), name="image")
    build = BACKBONES[backbone] if isinstance(backbone, str) else backbone
    features = build(images, normalise, output_stride)
    logits = _head(features, num_classes, rates)
    generator = keras.Model(images, [features, logits], name="generator")
    if weights is not None and weights.endswith(".safetensors"):
        torch_names.load_into(generator, Path(weights))
    elif weights is not None:
        load_backbone(generator, backbone, weights)
    return generator


def _head(features, num_classes, rates):
    """DeepLab-v2's classification module: 3x3 branches at several dilations, summed."""
    bound = 1 / math.sqrt(9 * features.shape[-1])  # AdaptSegNet leaves the biases at PyTorch's default
    branches = [
        layers.Conv2D(
            num_classes,
            3,
            padding="same",
            dilation_rate=rate,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.RandomUniform(-bound, bound),
            name=f"head_{index}",
        )(features)
        for index, rate in enumerate(rates)
    ]
    total = layers.Add()(branches) if len(branches) > 1 else branches[0]
    return layers.Activation("linear", dtype="float32", name="logits")(total)


def variables_of(generator):
    """The variables that G learns: kernels, and the head's biases; batch norm's gamma and beta stay as they are.

    Returns:
        backbone, head: lists of variables.
    """
    backbone, head = [], []
    for layer in generator.layers:
        if not isinstance(layer, layers.BatchNormalization):
            (head if layer.name.startswith("head_") else backbone).extend(layer.trainable_variables)
    return backbone, head


def norms_of(generator):
    """Its batch norm layers, in their order."""
    return [layer for layer in generator.layers if isinstance(layer, layers.BatchNormalization)]


@contextlib.contextmanager
def momentum_set(generator, momentum):
    """Within it, passes in training mode weigh the running statistics of batch norm so: 1 keeps, 0 replaces them."""
    norms = norms_of(generator)
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    try:
        yield
    finally:
        for norm, own in zip(norms, before):
            norm.momentum = own


def load_backbone(generator, backbone, weights):
    """Takes over the weights of the `keras.applications` model of the same name, layer by layer.

    The ResNets there have biases, which go into the running means, and epsilon 1.001e-5, whose difference goes into the
    running variances: the function is the same wherever running statistics are used.

    Args:
        generator: as `build_generator` returns it.
        backbone: key of APPLICATIONS.
        weights: "imagenet" (downloaded by Keras), or a weights file (.weights.h5 or .h5) of that model without top.

    Raises:
        ValueError: the file cannot be read or does not fit.
    """
    source = f"{weights}: " if weights != "imagenet" else "ImageNet weights: "
    if backbone not in APPLICATIONS:
        raise ValueError(f"{source}keras.applications has no {backbone}.")
    if weights.endswith((".pth", ".pt", ".tar")):
        raise ValueError(
            f"{source}is PyTorch's; python -m ass_tf.weights {weights} --out FILE.safetensors converts it."
        )
    try:
        named = "imagenet" if weights == "imagenet" else None
        application = APPLICATIONS[backbone](include_top=False, weights=named, input_shape=(None, None, 3))
        if named is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a line for each layer, before the error
                application.load_weights(weights)
    except Exception as error:  # Keras raises many kinds here
        reason = next(line for line in [*str(error).splitlines(), repr(error)] if line and not line.endswith(":"))
        raise ValueError(f"{source}no weights of keras.applications' {backbone} could be read: {reason}") from None
    for layer in generator.layers:
        if layer.name.startswith("head_") or not layer.weights:
            continue
        theirs = application.get_layer(layer.name)
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = theirs.get_weights()
            conv = layer.name.replace("_bn", "_conv")
            if backbone.startswith("resnet") and application.get_layer(conv).use_bias:
                mean = mean - application.get_layer(conv).get_weights()[1]
            layer.set_weights([gamma, beta, mean, variance + (theirs.epsilon - layer.epsilon)])
        else:
            layer.set_weights(theirs.get_weights()[:1])


def upsample(scores, size):
    """Bilinear resize with aligned corners, AdaptSegNet's.

    Args:
        scores: float (b, u, v, c).
        size: (h, w).

    Returns:
        float32 (b, h, w, c).
    """
    return tf.raw_ops.ResizeBilinear(images=tf.cast(scores, tf.float32), size=size, align_corners=True)


def downsample_labels(labels, size):
    """Label of the pixel under each feature cell's centre: nearest, aligned corners.

    Args:
        labels: int32 (b, h, w).
        size: (u, v).

    Returns:
        int32 (b, u, v). IGNORE stays IGNORE.
    """
    resized = tf.raw_ops.ResizeNearestNeighbor(images=labels[..., None], size=size, align_corners=True)
    return resized[..., 0]
