"""The weights that the base code's golden numbers were made with; see `adaptsegnet_goldens.npz` beside this file.

For each parameter of the PyTorch module, named by PyTorch, `numpy.random.RandomState(crc32(name))` draws its values.
"""

import re
import zlib
from pathlib import Path

import keras
import numpy as np

NUMBERS = np.load(Path(__file__).with_name("adaptsegnet_goldens.npz"))
SIZES = [(64, 128), (65, 97), (90, 160)]


def draw(name, shape):
    """Value of a PyTorch tensor: float32, kernels (out, in, kh, kw)."""
    rs = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) == 4:
        value = rs.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        value = 1 + 0.2 * rs.random_sample(shape)
    elif name.endswith("weight"):
        value = 1 + 0.1 * rs.standard_normal(shape)
    else:
        value = 0.1 * rs.standard_normal(shape)
    return value.astype("f")


def _torch_name(layer):
    """PyTorch's name for one of our layers: conv3_block1_0_bn -> layer2.0.downsample.1."""
    block = re.match(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if block:
        stage, index, part, kind = block.groups()
        tail = f"downsample.{int(kind == 'bn')}" if part == "0" else f"{kind}{part}"
        return f"layer{int(stage) - 1}.{int(index) - 1}.{tail}"
    if layer.startswith("head_"):
        return f"layer5.conv2d_list.{layer[5:]}"
    return {"conv1_conv": "conv1", "conv1_bn": "bn1"}[layer]


def fill_generator(generator):
    """Gives a ResNet generator the golden weights."""
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            name, shape = _torch_name(layer.name), [layer.weights[0].shape[0]]
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([draw(f"{name}.{part}", shape) for part in parts])
        elif layer.weights:
            name, (kh, kw, inputs, outputs) = _torch_name(layer.name), layer.weights[0].shape
            values = [draw(f"{name}.weight", (outputs, inputs, kh, kw)).transpose(2, 3, 1, 0)]
            layer.set_weights(values + ([draw(f"{name}.bias", (outputs,))] if len(layer.weights) > 1 else []))
