"""Folders from which model servers serve a model: TensorFlow Serving's of a run, Triton's of an ONNX file.

    ass-tf serving tensorflow RUN --out DIR [--name NAME] [--size HxW]
    ass-tf serving triton MODEL.onnx --out DIR [--name NAME] [--device gpu]

Each call adds the next version to DIR/NAME, and prints the command that starts the server's public container.

Source: TensorFlow Serving, docs "Configuring", "SavedModel Warmup" and "Batching Guide", and its `apis/*.proto`;
NVIDIA Triton, docs "Model Configuration", and `model_config.proto` of triton-inference-server/common.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ass_tf import config
from ass_tf.system import option, storage, terminal

TRITON = "25.01"  # the container's month
WARMUP = "tf_serving_warmup_requests"


def for_tensorflow(run: Path, folder: Path, options: argparse.Namespace) -> Path:
    """Adds a run to a folder of TensorFlow Serving: SavedModel with a warm-up record, and batching parameters.

    Args:
        run: folder of the run.
        folder: of the versions of this model.
        options: of the command line.

    Returns:
        version: the new one's folder.

    Raises:
        ValueError, OSError: as `to_saved_model.export`.
    """
    from ass_tf.export import to_saved_model

    def extra(size: Sequence[int]) -> dict[str, bytes]:
        return {WARMUP: _record(_warmup_request(folder.name, size))}

    version = to_saved_model.export(run, folder, size=options.size, extra=extra, command=options.command)
    parameters = {
        "max_batch_size": options.max_batch,
        "batch_timeout_micros": options.delay,
        "max_enqueued_batches": 100,
        "num_batch_threads": options.instances,
    }
    text = "".join(f"{key} {{ value: {value} }}\n" for key, value in parameters.items())
    storage.write_text(folder / "batching.config", text)
    return version


def for_triton(model: Path, folder: Path, options: argparse.Namespace) -> Path:
    """Adds an ONNX model to a model repository of Triton.

    Args:
        model: what `to_onnx` wrote.
        folder: of the versions of this model, in the repository.
        options: of the command line.

    Returns:
        version: the new one's folder.

    Raises:
        ValueError: the file is no model of `to_onnx`, or has another signature than the versions before.
        OSError: a file cannot be read or written.
    """
    import onnx

    try:
        described = onnx.load(str(model), load_external_data=False)
        about = {entry.key: entry.value for entry in described.metadata_props}
        names, size = json.loads(about["class_names"]), json.loads(about["size"])
        image = [value.dim_value or -1 for value in described.graph.input[0].type.tensor_type.shape.dim]
    except OSError:
        raise
    except Exception as error:  # onnx and protobuf raise many kinds
        raise ValueError(f"{model}: no model of ass-tf export ({terminal.reason(error)}).") from None
    text = _triton_config(folder.name, image, size, [o.name for o in described.graph.output], len(names), options)
    file = folder / "config.pbtxt"
    listed = folder / "classes.txt"
    classes = "".join(f"{name}\n" for name in names)
    if (file.exists() and _signature(storage.read_text(file)) != _signature(text)) or (
        listed.exists() and storage.read_text(listed) != classes
    ):
        raise ValueError(f"{file}: its versions have other inputs, outputs or classes; use another --name.")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".part"
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a kill
    try:
        unfinished.mkdir()
        shutil.copyfile(model, unfinished / "model.onnx")
        version = storage.next_version(folder)
        os.rename(unfinished, version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    storage.write_text(listed, classes)
    storage.write_text(file, text)
    return version


def _triton_config(
    name: str, image: Sequence[int], size: Sequence[int], outputs: Sequence[str], classes: int, options: Any
) -> str:
    """A ModelConfig as text. A model for a fixed number of images does without batching."""
    batch, height, width = image[0], *image[1:3]
    batched = batch == -1
    first = [] if batched else [batch]
    ends: dict[str, tuple[str, list[int]]] = {
        "labels": ("TYPE_UINT8", [height, width]),
        "probabilities": ("TYPE_FP32", [height, width, classes]),
        "confidence": ("TYPE_UINT8", [height, width]),
    }
    h, w = (known if known > 0 else own for known, own in zip((height, width), options.size or size))
    blocks = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {options.max_batch if batched else 0}",
        f'input [ {{ name: "image" data_type: TYPE_UINT8 dims: {[*first, height, width, 3]} }} ]',
        *(
            f'output [ {{ name: "{output}" data_type: {ends[output][0]} dims: {[*first, *ends[output][1]]} }} ]'
            for output in outputs
        ),
        f"instance_group [ {{ count: {options.instances} kind: KIND_{options.device.upper()} }} ]",
        f"dynamic_batching {{ max_queue_delay_microseconds: {options.delay} }}" if batched else "",
        f'model_warmup [ {{ name: "first" batch_size: {int(batched)} inputs {{ key: "image" value {{ '
        f"data_type: TYPE_UINT8 dims: {[*first, h, w, 3]} zero_data: true }} }} }} ]",
    ]
    return "".join(f"{block}\n" for block in blocks if block)


def _signature(text: str) -> list[str]:
    """Of a config.pbtxt, the lines that clients depend on."""
    return [line for line in text.splitlines() if line.startswith(("input", "output", "max_batch_size: 0"))]


def _warmup_request(name: str, size: Sequence[int]) -> bytes:
    """A tensorflow.serving.PredictionLog of one request: a black image."""
    import numpy as np
    import tensorflow as tf

    tensor = tf.make_tensor_proto(np.zeros((1, *size, 3), np.uint8)).SerializeToString()
    spec = _field(1, name.encode()) + _field(3, b"serving_default")
    request = _field(1, spec) + _field(2, _field(1, b"image") + _field(2, tensor))
    return _field(6, _field(1, request))  # PredictionLog.predict_log.request


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, a text or a message in protobuf's wire format."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _record(content: bytes) -> bytes:
    """A TFRecord file of one record."""
    import tensorflow as tf

    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            writer.write(content)
        return Path(file.name).read_bytes()


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text) or text.startswith("."):
        raise argparse.ArgumentTypeError(f"may hold letters, digits, . _ and - only. Received: {text}")
    return text


def _started(options: argparse.Namespace) -> str:
    """The command that starts the public container of the server."""
    mounted = shlex.quote(f"{options.out.resolve()}:/models:ro")
    gpu = options.device == "gpu"
    if options.server == "tensorflow":
        inside = f"/models/{options.name}"
        return (
            f"docker run --rm {'--gpus all ' if gpu else ''}-p 8500:8500 -p 8501:8501 -v {mounted} "
            f"tensorflow/serving{':latest-gpu' if gpu else ''} --model_name={options.name} --model_base_path={inside} "
            f"--enable_batching --batching_parameters_file={inside}/batching.config"
        )
    return (
        f"docker run --rm {'--gpus all ' if gpu else ''}-p 8000:8000 -p 8001:8001 -v {mounted} "
        f"nvcr.io/nvidia/tritonserver:{TRITON}-py3 tritonserver --model-repository=/models"
    )


def _parsed(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.splitlines()[0])
    servers = parser.add_subparsers(dest="server", required=True, metavar="tensorflow|triton")
    for server, what, text in (
        ("tensorflow", "RUN", "a run's folder, for TensorFlow Serving"),
        ("triton", "MODEL", "an ONNX file of ass-tf export, for Triton"),
    ):
        add = servers.add_parser(server, help=text, description=text).add_argument
        add("model", type=option.path, metavar=what, help=text)
        add("--out", type=option.path, required=True, metavar="DIR", help="folder of all models of the server")
        add("--name", type=_name, default="streets", help="of the model (default: %(default)s)")
        fixed = "images of this size only" if server == "tensorflow" else "of the image that warms a model up"
        add("--size", type=option.size(), metavar="HxW", help=fixed)
        add("--max-batch", type=option.number(most=4096), default=8, metavar="N",
            help="images of one size that are run together (default: %(default)s)")  # fmt: skip
        add("--delay", type=option.number(least=0), default=5000, metavar="MICROSECONDS",
            help="that an image waits for others (default: %(default)s)")  # fmt: skip
        add("--instances", type=option.number(most=1024), default=1, metavar="N",
            help="batches at the same time (default: %(default)s)")  # fmt: skip
        add("--device", choices=["cpu", "gpu"], default="cpu", help="default: %(default)s")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m ass_tf.export.to_server") -> int:
    """The command line, called `prog`; returns the exit status."""
    options = _parsed(arguments, prog)
    options.command = [*prog.split(), *(sys.argv[1:] if arguments is None else arguments)]
    make = for_tensorflow if options.server == "tensorflow" else for_triton
    try:
        storage.check_folder(options.out, "--out")
        version = make(options.model, options.out / options.name, options)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 2 if isinstance(error, config.ConfigError) else 1)
    print(f"Written: {version}\nStart it:\n  {_started(options)}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
