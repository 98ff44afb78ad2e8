"""The weights that the base code's golden numbers were made with; see `adaptsegnet_goldens.npz` beside this file.

For each parameter of the PyTorch module, named by PyTorch, `numpy.random.RandomState(crc32(name))` draws its values.
"""

import zlib
from functools import partial
from pathlib import Path

import numpy as np

from ass_tf.weights import torch_files, torch_names

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


def tensors_of(network):
    """The golden value of every tensor of a network, as `torch_layout.take` takes them."""
    shapes = {name: value.shape for name, value in torch_names.state_of(network).items()}
    return {name: torch_files.Tensor(s, "float32", partial(draw, name, s)) for name, s in shapes.items()}


def fill_generator(generator):
    """Gives a ResNet generator the golden weights."""
    ours, _ = torch_names.take(generator, tensors_of(generator))
    assert {row.verdict for row in ours} == {"taken"}
