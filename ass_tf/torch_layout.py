"""Weights as PyTorch has them: the base code's names and shapes, and files read without running what they hold.

Of a network nothing but its layers and their weights is used, so that TensorFlow is not needed here, and PyTorch only
for its own files. The command that converts files is `weights`.

Source: Tsai et al. 2018 (AdaptSegNet), arXiv 1802.10349, whose DeepLab-v2 gives the names.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as packed

HEAD = "layer5.conv2d_list."
NORM = ("weight", "bias", "running_mean", "running_var")  # in Keras' order
LAYOUT = "adaptsegnet"  # in the metadata of files written here
TORCHVISION = "torchvision"
OLDEST_PYTORCH = (2, 6)  # loading weights only could still be made to run code before (CVE-2025-32434)


class Tensor(NamedTuple):
    """A tensor of a file, read when its values are asked for."""

    shape: tuple[int, ...]
    dtype: str
    values: Callable[[], np.ndarray]


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
    if layer.startswith("head_"):
        return HEAD + layer.removeprefix("head_")
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
        network: keras.Model as `deeplab.build_generator` returns it.
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
    """
    tensors = dict(tensors)
    while tensors and len(first := {name.partition(".")[0] for name in tensors}) == 1:
        prefix = first.pop() + "."
        if not all(name.startswith(prefix) for name in tensors):
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    stems = [name.removesuffix("conv1.weight") for name in tensors if name.endswith(".conv1.weight")]
    prefix = next((stem for stem in stems if f"{stem}layer1.0.conv1.weight" in tensors), "")
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if any(name.startswith("layer6.") for name in tensors):
        heads = {"layer5.": "auxiliary.", "layer6.": "layer5."}
        return {heads.get(name[:7], name[:7]) + name[7:]: tensor for name, tensor in tensors.items()}
    return tensors


def layout_of(names: Iterable[str]) -> str | None:
    """Whose ResNet tidied names are of, by what stands behind it; None where nothing tells."""
    first = {name.partition(".")[0] for name in names}
    if "layer5" in first:
        return LAYOUT
    return TORCHVISION if first & {"fc", "classifier"} else None


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's ResNet for this one's input: BGR of 0 to 255 minus Caffe's mean, not RGB normalised to variance 1.

    The first kernel takes up order and scale, the first batch norm the difference of the means: exact but for the
    image's border, where padding stands for another grey. The stride, which torchvision has in the 3x3, stays another.
    """
    kernel, mean = tensors.get("conv1.weight"), tensors.get("bn1.running_mean")
    if kernel is None or mean is None or kernel.shape[1:2] != (3,) or mean.shape != kernel.shape[:1]:
        return dict(tensors)
    caffe = np.array([122.67891434, 116.66876762, 104.00698793])  # RGB, as the two lines below
    centre, spread = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])

    def scaled() -> np.ndarray:
        return kernel.values() / spread[:, None, None]

    def shifted() -> np.ndarray:
        return mean.values() - (scaled() * (caffe - centre)[:, None, None]).sum((1, 2, 3))

    changed = {"conv1.weight": (kernel, lambda: scaled()[:, ::-1]), "bn1.running_mean": (mean, shifted)}
    return {**tensors, **{name: tensor._replace(values=values) for name, (tensor, values) in changed.items()}}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of the state dict in a file of `torch.save`, as such or inside a dict.

    Raises:
        ValueError: it cannot be read, holds anything that loading would have to execute, or holds no tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    tensors = _read_safetensors(path)[0] if path.suffix == ".safetensors" else _read_torch(path)
    if not tensors:
        raise ValueError(f"{path}: holds no tensors with names.")
    return tensors


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            slices = {name: file.get_slice(name) for name in names}
            described = {name: (tuple(s.get_shape()), _spelled(s.get_dtype())) for name, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: is no safetensors file, or is damaged: {error}.") from None

    def values(name: str) -> np.ndarray:
        try:
            with safe_open(path, framework="numpy") as file:
                return file.get_tensor(name)
        except Exception as error:  # types that NumPy does not have
            raise ValueError(f"{path}: {name} cannot be read: {error}") from None

    return {n: Tensor(*about, values=lambda n=n: values(n)) for n, about in described.items()}, metadata


def _spelled(dtype: str) -> str:
    """safetensors' F32 -> float32."""
    kind, bits = re.fullmatch(r"([A-Z]+)(.*)", dtype).groups()
    return {"F": "float", "BF": "bfloat", "I": "int", "U": "uint"}.get(kind, kind.lower()) + bits.lower()


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        import torch
    except ImportError:
        raise ValueError(f"{path}: reading it needs PyTorch: pip install 'ass_tf[torch]'.") from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_PYTORCH:
        wanted = ".".join(map(str, OLDEST_PYTORCH))
        raise ValueError(f"{path}: PyTorch must be {wanted} or newer to read it safely. Received: {torch.__version__}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds; PyTorch's own advice, to load it all the same, is not passed on
        call = re.search(r"GLOBAL (\S+)", str(error))
        if call:
            raise ValueError(
                f"{path}: refused, since loading it would execute {call[1]}; export its tensors."
            ) from None
        raise ValueError(f"{path}: is no file of torch.save, or is damaged ({type(error).__name__}).") from None

    def values(name: str, tensor: Any) -> np.ndarray:
        try:
            return tensor.detach().to(torch.float32).contiguous().numpy()
        except Exception as error:  # sparse, quantised, without storage, ...
            raise ValueError(f"{path}: {name} cannot be read: {str(error).splitlines()[0]}") from None

    return {
        name: Tensor(tuple(t.shape), str(t.dtype).removeprefix("torch."), lambda n=name, t=t: values(n, t))
        for name, t in _state_dict(content, torch.Tensor).items()
    }


def _state_dict(content: Any, kind: type, depth: int = 3) -> dict[str, Any]:
    """The tensors of a checkpoint: itself, or the entry with the most of them (`state_dict`, `model`, ...)."""
    if not isinstance(content, Mapping) or not depth:
        return {}
    inner = [_state_dict(value, kind, depth - 1) for value in content.values()]
    own = {str(key): value for key, value in content.items() if isinstance(value, kind)}
    return max([own, *inner], key=len)


def load_into(network: Any, path: Path) -> None:
    """Gives a network the weights of a file that `save` wrote; the head keeps its own where the file's does not fit.

    Raises:
        ValueError: the file cannot be read, has another layout, or lacks a part of the backbone.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    tensors, metadata = _read_safetensors(path)
    if metadata.get("layout") != LAYOUT:
        raise ValueError(f"{path}: bring it into the right layout first: python -m ass_tf.weights {path} --out FILE.")
    try:
        refuse_gaps(*take(network, tensors))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def refuse_gaps(ours: list[Row], others: list[Row]) -> None:
    """Raises ValueError if the backbone lacks a tensor, or if the file is of a deeper ResNet."""
    gaps = [row for row in ours if row.verdict != "taken" and not row.name.startswith(HEAD)]
    if gaps:
        name, shape, _, reason = gaps[0]
        raise ValueError(f"{len(gaps)} tensors of the backbone are not taken, the first is {name} {shape}: {reason}.")
    deeper = [row.name for row in others if re.match(r"layer[1-4]\..*weight$", row.name)]
    if deeper:
        raise ValueError(f"holds {deeper[0]}, which the network has not: it is of another backbone.")


def save(path: Path, state: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
    """Writes a safetensors file in the base code's layout, whole or not at all; `about` joins its metadata."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(packed(dict(state), {**about, "format": "pt", "layout": LAYOUT}))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
