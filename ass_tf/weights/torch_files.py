"""Files of tensors by name: PyTorch's, read without running what they hold, and safetensors, read and written."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as packed

from ass_tf.system import process, storage

LAYOUT = "adaptsegnet"  # in the metadata of files written here
OLDEST_PYTORCH = (2, 6)  # loading weights only could still be made to run code before (CVE-2025-32434)


class Tensor(NamedTuple):
    """A tensor of a file, read when its values are asked for."""

    shape: tuple[int, ...]
    dtype: str
    values: Callable[[], np.ndarray]


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of the state dict in a file of `torch.save`, as such or inside a dict.

    Raises:
        ValueError: it cannot be read, holds anything that loading would have to execute, or holds no tensors.
    """
    refuse_unreadable(path)
    tensors = read_safetensors(path)[0] if path.suffix == ".safetensors" else _read_torch(path)
    if not tensors:
        raise ValueError(f"{path}: holds no tensors with names.")
    return tensors


def refuse_unreadable(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        open(path, "rb").close()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}.") from None


def _refuse_packed(path: Path) -> None:
    """torch.save never compresses, so what is compressed is made to fill the memory."""
    if not zipfile.is_zipfile(path):  # the format before PyTorch 1.6, or damaged, which loading tells
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:  # OSError: an offset below 0
        raise ValueError(f"{path}: is no file of torch.save, or is damaged: {error}.") from None
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError(f"{path}: refused, since it unpacks to more than it holds, which no file of torch.save does.")


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
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
    torch = process.require("torch", "torch", f"{path}: reading it")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_PYTORCH:
        wanted = ".".join(map(str, OLDEST_PYTORCH))
        raise ValueError(f"{path}: PyTorch must be {wanted} or newer to read it safely. Received: {torch.__version__}.")
    _refuse_packed(path)
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
    """The tensors of a checkpoint: itself, or an entry (`state_dict`, `model`, ...); a ResNet's, else the most."""
    if not isinstance(content, Mapping) or not depth:
        return {}
    inner = [_state_dict(value, kind, depth - 1) for value in content.values()]
    own = {str(key): value for key, value in content.items() if isinstance(value, kind)}
    return max([own, *inner], key=lambda found: (any(n.endswith("layer1.0.conv1.weight") for n in found), len(found)))


def save(path: Path, state: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
    """Writes a safetensors file in the base code's layout, whole or not at all; `about` joins its metadata.

    Raises:
        ValueError: it cannot be written.
    """
    try:
        with storage.replacing(path) as unfinished, open(unfinished, "wb") as file:
            file.write(packed(dict(state), {**about, "format": "pt", "layout": LAYOUT}))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ValueError(f"{path}: cannot be written: {error.strerror}.") from None
