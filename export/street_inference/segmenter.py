"""An exported model under onnxruntime: what it says of itself, and label maps of batches and of tiles.

Needs onnxruntime and NumPy only. Image files are left to `images`.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}


class ModelError(ValueError):
    """The model cannot be used; the message is one line that names it."""


def providers_for(wanted: str | None) -> list[str]:
    """onnxruntime's names of the providers to try, the CPU last, which takes what the others cannot.

    Args:
        wanted: key of PROVIDERS, or None for the first of them that this onnxruntime has.

    Raises:
        ModelError: this onnxruntime does not have the wanted one.
    """
    offered = onnxruntime.get_available_providers()
    if wanted and PROVIDERS[wanted] not in offered:
        here = ", ".join(key for key, name in PROVIDERS.items() if name in offered)
        raise ModelError(f"--provider {wanted}: this onnxruntime has only {here}.")
    first = PROVIDERS[wanted] if wanted else next(name for name in PROVIDERS.values() if name in offered)
    behind = [PROVIDERS["cuda"]] if first == PROVIDERS["tensorrt"] and PROVIDERS["cuda"] in offered else []
    return list(dict.fromkeys([first, *behind, PROVIDERS["cpu"]]))


class Segmenter:
    """A model of `to_onnx.py` and its session.

    Attributes:
        names: the classes, in the order of their train ids.
        palette: uint8 (256, 3), colour of each id; black where there is no class.
        size: (h, w) of the images that the model was judged on.
        fixed: (n, h, w) that the model takes, None where it takes any.
        confident: whether it gives its confidence, too.
        provider: what the session runs on; without a wanted one, the CPU where the best fails to start.
        seconds: time spent inside the session so far.
    """

    def __init__(self, file: str | Path, provider: str | None = None, threads: int | None = None) -> None:
        """
        Args:
            file: the ONNX model.
            provider: key of PROVIDERS, or None for the best that there is.
            threads: of the CPU provider; None for one per core.

        Raises:
            ModelError: the file is no such model, or the provider is not there.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        # Between two operators its threads sleep and leave the cores to those that decode and write.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = providers_for(provider)
        if not Path(file).is_file():
            raise ModelError(f"{file}: no such model.")
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # onnxruntime raises many kinds
            reason = " ".join(str(error).split())
            raise ModelError(f"{file}: onnxruntime cannot load it: {reason}") from None
        described = self.session.get_modelmeta().custom_metadata_map
        try:
            image = self.session.get_inputs()[0]
            if (image.name, image.type) != ("image", "tensor(uint8)"):
                raise KeyError("an input image of uint8")
            self.names = tuple(json.loads(described["class_names"]))
            self.palette = np.zeros((256, 3), np.uint8)
            self.palette[json.loads(described["train_ids"])] = json.loads(described["colours"])
            self.size = tuple(json.loads(described["size"]))
            self.confident = "confidence" in (output.name for output in self.session.get_outputs())
            count, height, width = (n if isinstance(n, int) else None for n in image.shape[:3])
            self.fixed = count, height, width
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ModelError(f"{file}: no model of export/to_onnx.py; it lacks {error}.") from None
        self.provider = self.session.get_providers()[0]
        if provider and self.provider != providers[0]:
            raise ModelError(f"--provider {provider}: this onnxruntime has it, but it does not start on this machine.")
        self.seconds = 0.0

    def close(self) -> None:
        """Gives the session's memory back; what the model says of itself stays."""
        del self.session

    def maps(self, batch: np.ndarray, confidence: bool = False) -> np.ndarray:
        """Train ids of images uint8 (n, h, w, 3), as (1, n, h, w), or with their confidence as (2, n, h, w); uint8.

        Args:
            batch: the images; of a model for N of them, n may be smaller.
            confidence: whether 255 times the probability of each label is wanted.

        Raises:
            ModelError: it fails on them, for lack of memory say.
        """
        count = len(batch)
        if self.fixed[0] and self.fixed[0] != count:
            batch = np.concatenate([batch, np.zeros((self.fixed[0] - count, *batch.shape[1:]), np.uint8)])
        start = time.perf_counter()
        try:
            found = self.session.run(["labels", "confidence"][: 1 + confidence], {"image": batch})
        except Exception as error:  # onnxruntime raises many kinds
            raise ModelError(f"the model fails on it: {' '.join(str(error).split())}") from None
        self.seconds += time.perf_counter() - start
        return np.stack(found)[:, :count]

    def tiled(self, image: np.ndarray, tile: tuple[int, int], overlap: int, confidence: bool = False) -> np.ndarray:
        """Train ids of one image uint8 (h, w, 3), computed tile by tile, as (1, h, w), or (2, h, w) as `maps` gives.

        Neighbours share `overlap` pixels, and each is believed up to the middle of what they share. A picture smaller
        than a tile is one tile, filled up with its border's pixels if the model takes one size only.
        """
        h, w = image.shape[:2]
        height, width = (known or min(t, n) for known, t, n in zip(self.fixed[1:], tile, (h, w)))
        missing = [(0, max(0, height - h)), (0, max(0, width - w))]
        padded = np.pad(image, [*missing, (0, 0)], "edge") if any(m[1] for m in missing) else image
        maps = np.empty((1 + confidence, *padded.shape[:2]), np.uint8)
        for top, rows in _spans(padded.shape[0], height, overlap):
            for left, columns in _spans(padded.shape[1], width, overlap):
                part = padded[top : top + height, left : left + width]
                found = self.maps(np.ascontiguousarray(part)[None], confidence)[:, 0]
                kept = found[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                maps[:, rows, columns] = kept
        return maps[:, :h, :w]


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[int, slice]]:
    """Starts of the tiles along one side, and the part of the side that each one decides."""
    starts = [*range(0, length - tile, max(tile - overlap, 1)), length - tile]
    middles = [(second + first + tile) // 2 for first, second in itertools.pairwise(starts)]
    for start, low, high in zip(starts, [0, *middles], [*middles, length]):
        yield start, slice(low, high)
