"""Weights as PyTorch has them: the base code's names and shapes for a Keras network, both ways.

Of a network nothing but its layers and their weights is used, so that TensorFlow is not needed here. Files are read by
`torch_files`; the command that converts them is `weights`.

Source: Tsai et al. 2018 (AdaptSegNet), arXiv 1802.10349, whose DeepLab-v2 gives the names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ass_tf import models
from ass_tf.weights import torch_files
from ass_tf.weights.torch_files import LAYOUT, Tensor

HEAD = "layer5.conv2d_list."
NORM = ("weight", "bias", "running_mean", "running_var")  # in Keras' order
TORCHVISION = "torchvision"


class Row(NamedTuple):
    """What became of one tensor: `verdict` is "taken", "skipped" or "missing"."""

    name: str
    shape: tuple[int, ...]
    verdict: str
    reason: str = ""


def name_of(layer: str) -> str:
    """The base code's name of a layer: conv3_block1_0_bn -> layer2.0.downsample.1; other backbones' stay their own."""
    block = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if block:
        stage, index, part, kind = block.groups()
        tail = f"downsample.{int(kind == 'bn')}" if part == "0" else f"{kind}{part}"
        return f"layer{int(stage) - 1}.{int(index) - 1}.{tail}"
    if layer.startswith(models.HEAD):
        return HEAD + layer.removeprefix(models.HEAD)
    return {"conv1_conv": "conv1", "conv1_bn": "bn1"}.get(layer, layer)


def _axes(layer: Any, rank: int) -> tuple[int, ...]:
    """For `transpose` from Keras' axes to PyTorch's (out, in, kh, kw); a depthwise kernel is (kh, kw, out, 1)."""
    if rank != 4:
        return tuple(range(rank))
    return (2, 3, 0, 1) if hasattr(layer, "depth_multiplier") else (3, 2, 0, 1)


def _shapes(layer: Any) -> dict[str, tuple[int, ...]]:
    """PyTorch's names and shapes of a layer's weights, in Keras' order."""
    parts = NORM if len(layer.weights) == 4 else NORM[:2]
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return {
        f"{name_of(layer.name)}.{part}": tuple(shape[axis] for axis in _axes(layer, len(shape)))
        for part, shape in zip(parts, shapes)
    }


def state_of(network: Any) -> dict[str, np.ndarray]:
    """All weights of a network by the base code's names: float32, kernels (out, in, kh, kw)."""
    state = {}
    for layer in network.layers:
        for name, value in zip(_shapes(layer), layer.get_weights()):
            state[name] = np.ascontiguousarray(value.transpose(_axes(layer, value.ndim)))
    return state


def take(network: Any, tensors: Mapping[str, Tensor]) -> tuple[list[Row], list[Row]]:
    """Gives a network the weights of a file. A layer changes only if all of it is there and fits.

    Args:
        network: keras.Model.
        tensors: by the base code's names, as `tidy` returns them.

    Returns:
        ours: what became of every tensor of the network.
        others: the file's other tensors.

    Raises:
        ValueError: a tensor that is taken holds values that cannot be.
    """
    rows: list[Row] = []
    for layer in network.layers:
        shapes = _shapes(layer)
        misfits = {name: _misfit(tensors.get(name), shape) for name, shape in shapes.items()}
        fits = not any(misfits.values())
        if shapes and fits:
            values = [checked(name, tensors[name].values()) for name in shapes]
            layer.set_weights([v.transpose(np.argsort(_axes(layer, v.ndim))) for v in values])
        for name, shape in shapes.items():
            if name not in tensors:
                rows.append(Row(name, shape, "missing", "not in the file"))
            elif fits:
                dtype = tensors[name].dtype
                rows.append(Row(name, shape, "taken", "" if dtype == "float32" else f"from {dtype}"))
            else:
                rows.append(Row(name, tensors[name].shape, "skipped", misfits[name] or "its layer is not complete"))
    known = {row.name for row in rows}
    return rows, [Row(n, t.shape, "skipped", _why_foreign(n)) for n, t in tensors.items() if n not in known]


def _misfit(tensor: Tensor | None, shape: tuple[int, ...]) -> str:
    if tensor is None:
        return "missing"
    if tensor.shape != shape:
        return f"the network's is {'x'.join(map(str, shape))}"
    return "" if "float" in tensor.dtype else f"holds {tensor.dtype}"


def checked(name: str, values: np.ndarray) -> np.ndarray:
    """The values as float32; raises ValueError where no network can hold them."""
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite. Received: NaN or infinity.")
    if name.endswith("running_var") and values.min() < 0:
        raise ValueError(f"{name} must not be negative. Received: {values.min():g}.")
    return values


def _why_foreign(name: str) -> str:
    if name.endswith("num_batches_tracked"):
        return "counts batches, is no weight"
    if name.startswith("auxiliary."):
        return "auxiliary head of the multi-level model, which has no counterpart here"
    if name.startswith(HEAD):
        return "the head has no such branch (model.rates)"
    if name.startswith("fc."):
        return "classifies whole images"
    return "the network has no such tensor"


def tidy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The base code's single-level names: without what stands before all of them, such as `module.` and `Scale.`, or
    before those of a ResNet, such as `backbone.`; the main head as `layer5`.

    Of the multi-level model `layer6` is the main head; its `layer5` becomes `auxiliary`.

    Raises:
        ValueError: there are two tensors for one name.
    """
    tensors = dict(tensors)
    while tensors and len(first := {name.partition(".")[0] for name in tensors}) == 1:
        prefix = first.pop() + "."
        if not all(name.startswith(prefix) for name in tensors):
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    stems = [name.removesuffix("conv1.weight") for name in tensors if name.endswith(".conv1.weight")]
    prefix = next((stem for stem in stems if f"{stem}layer1.0.conv1.weight" in tensors), "")
    twin = next(
        (name for name in tensors if prefix and name.startswith(prefix) and name[len(prefix) :] in tensors), None
    )
    if twin:
        raise ValueError(f"holds both {twin} and {twin[len(prefix) :]}: it is unclear which network is meant.")
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if any(name.startswith("layer6.") for name in tensors):
        heads = {"layer5.": "auxiliary.", "layer6.": "layer5."}
        return {heads.get(name[:7], name[:7]) + name[7:]: tensor for name, tensor in tensors.items()}
    return tensors


def layout_of(path: Path, names: Iterable[str]) -> str | None:
    """What a file says of itself, or AdaptSegNet's where tidied names have its head; None where it is unclear.

    torchvision's and Caffe's ResNets bear the same names, `fc` included.
    """
    if path.suffix == ".safetensors" and (known := torch_files.read_safetensors(path)[1].get("layout")):
        return known
    return LAYOUT if any(name.startswith(HEAD) for name in names) else None


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's ResNet for this one's input: BGR of 0 to 255 minus Caffe's mean, not RGB normalised to variance 1.

    The first kernel takes up order and scale, the first batch norm the difference of the means: exact but for the
    image's border, where padding stands for another grey. The stride, which torchvision has in the 3x3, stays another.
    """
    kernel, mean = tensors.get("conv1.weight"), tensors.get("bn1.running_mean")
    if kernel is None or mean is None or kernel.shape[1:2] != (3,) or mean.shape != kernel.shape[:1]:
        return dict(tensors)
    caffe = np.array(models.CAFFE_BGR_MEAN[::-1])  # RGB, as the line below
    centre, spread = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])

    def scaled() -> np.ndarray:
        return kernel.values() / spread[:, None, None]

    def shifted() -> np.ndarray:
        return mean.values() - (scaled() * (caffe - centre)[:, None, None]).sum((1, 2, 3))

    changed = {"conv1.weight": (kernel, lambda: scaled()[:, ::-1]), "bn1.running_mean": (mean, shifted)}
    return {**tensors, **{name: tensor._replace(values=values) for name, (tensor, values) in changed.items()}}


def load_into(network: Any, path: Path) -> None:
    """Gives a network the weights of a file that `save` wrote; the head keeps its own where the file's does not fit.

    Raises:
        ValueError: the file cannot be read, has another layout, or lacks a part of the backbone.
    """
    torch_files.refuse_unreadable(path)
    tensors, metadata = torch_files.read_safetensors(path)
    if metadata.get("layout") != LAYOUT:
        raise ValueError(f"{path}: bring it into the right layout first: python -m ass_tf.weights {path} --out FILE.")
    try:
        refuse_other_rates(network, tensors, metadata)
        refuse_gaps(*take(network, tensors))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _branches_of(network: Any) -> list[Any]:
    """The layers of the head that have the dilations of `model.rates`, in their order."""
    head = {n.removeprefix(models.HEAD): layer for layer in network.layers if (n := layer.name).startswith(models.HEAD)}
    separable = [layer for name, layer in head.items() if re.fullmatch(r"aspp\d+_depthwise", name)]
    return separable or [layer for name, layer in head.items() if name.isdigit()]


def rates_of(network: Any) -> list[int]:
    """Dilations of the head's branches."""
    return [layer.dilation_rate[0] for layer in _branches_of(network)]


def refuse_other_rates(network: Any, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Raises ValueError if branches that fit were trained at other dilations, so are another function."""
    try:
        rates = json.loads(metadata.get("rates", "[]"))
    except (ValueError, RecursionError):
        raise ValueError("its metadata are damaged: rates must be a list of numbers.") from None
    parts = [_shapes(layer).items() for layer in _branches_of(network)]
    fits = any(all(name in tensors and tensors[name].shape == shape for name, shape in part) for part in parts)
    if fits and rates and rates != (ours := rates_of(network)):
        raise ValueError(f"holds a head of rates {rates}: model.rates must be these. Received: {ours}.")


def refuse_gaps(ours: list[Row], others: list[Row]) -> None:
    """Raises ValueError if the backbone lacks a tensor, or if the file is of a deeper ResNet."""
    gaps = [row for row in ours if row.verdict != "taken" and not row.name.startswith(HEAD)]
    if gaps:
        name, shape, _, reason = gaps[0]
        raise ValueError(f"{len(gaps)} tensors of the backbone are not taken, the first is {name} {shape}: {reason}.")
    deeper = [row.name for row in others if re.match(r"layer[1-4]\..*weight$", row.name)]
    if deeper:
        raise ValueError(f"holds {deeper[0]}, which the network has not: it is of another backbone.")
