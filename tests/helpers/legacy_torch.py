"""Files as torch.save wrote them before PyTorch 1.6, made without PyTorch."""

import io
import pickle
from collections import OrderedDict

import numpy as np

from ass_tf.weights import lite


class _Name:
    """Pickled as a global name."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError


class _Tensor:
    def __init__(self, key, value, rebuild):
        self.key, self.value, self.rebuild = key, value, rebuild


class _Storage(tuple):
    pass


class _Pickler(pickle._Pickler):
    """Writes names as they are, and storages by their ids."""

    def persistent_id(self, thing):
        return tuple(thing) if isinstance(thing, _Storage) else None

    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, _Name):
            self.write(pickle.GLOBAL + f"{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, _Tensor):
            steps = tuple(step // thing.value.itemsize for step in thing.value.strides)
            kind = _Name("torch", "FloatStorage" if thing.value.dtype == np.float32 else "LongStorage")
            storage = _Storage(("storage", kind, thing.key, "cpu", thing.value.size, None))
            self.save(thing.rebuild)
            self.save((storage, 0, thing.value.shape, steps, False, OrderedDict()))
            self.write(pickle.REDUCE)
        else:
            super().save(thing, save_persistent_id)


def dumped(thing):
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(thing)
    return stream.getvalue()


def save(file, state, rebuild=("torch._utils", "_rebuild_tensor_v2")):
    """Writes a state dict: dict of name -> numpy array."""
    tensors = {
        name: _Tensor(str(i), np.ascontiguousarray(v), _Name(*rebuild)) for i, (name, v) in enumerate(state.items())
    }
    head = [dumped(part) for part in (lite.MAGIC, lite.PROTOCOL, {"little_endian": True})]
    body = [dumped(tensors), dumped([tensor.key for tensor in tensors.values()])]
    raw = [np.int64(t.value.size).tobytes() + t.value.tobytes() for t in tensors.values()]
    file.write_bytes(b"".join([*head, *body, *raw]))
    return file
