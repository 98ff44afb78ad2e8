"""Keras generator -> ONNX graph by tf2onnx; dilated convolutions stay whole, batch norm is folded into the kernels."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime

from ass_tf.system import process, storage

if TYPE_CHECKING:
    from ass_tf.export import serving

CATCHING = "TF2ONNX_CATCH_ERRORS"  # an environment variable of tf2onnx


def whole_dilations(graph: Any, _: Any) -> Any:
    """A rewriter for tf2onnx: convolutions between SpaceToBatchND and BatchToSpaceND become dilated ones.

    TensorFlow takes a dilated convolution apart that way; with a size known only at run time tf2onnx does not put it
    together again, and batch norm cannot be folded over the gap. Ours are all "same" with stride 1.
    """
    for space in [node for node in graph.get_nodes() if node.type == "SpaceToBatchND"]:
        (conv,) = graph.find_output_consumers(space.output[0])
        (batch,) = graph.find_output_consumers(conv.output[0])
        dilation = int(space.inputs[1].get_tensor_value(as_list=False).flat[0])
        pads = [_same(n, dilation) for n in graph.get_shape(conv.input[1])[:2]]
        conv.set_attr("dilations", [1, dilation, dilation, 1])
        conv.set_attr("padding", "EXPLICIT")
        conv.set_attr("explicit_paddings", [0, 0, *pads[0], *pads[1], 0, 0])
        graph.replace_input(conv, space.output[0], space.input[0], 0)
        graph.replace_all_inputs(batch.output[0], conv.output[0])
        graph.copy_shape(batch.output[0], conv.output[0])
    return graph.get_nodes()


def _same(side: int, dilation: int) -> tuple[int, int]:
    """Padding before and after, of a "same" convolution of stride 1."""
    total = (side - 1) * dilation
    return total // 2, total - total // 2


def scores_of(graph: onnx.GraphProto, upsampled: bool = False) -> str:
    """Name of the scores before or after the last Resize, which brings them to the image's size; empty without one."""
    resize = next((node for node in reversed(graph.node) if node.op_type == "Resize"), None)
    return "" if resize is None else resize.output[0] if upsampled else resize.input[0]


@contextmanager
def _quiet():
    """Hides what tf2onnx prints of each optimiser; errors are still shown."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "onnxruntime", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


@contextmanager
def _in_place():
    """Has tf2onnx optimise its graph in place."""
    given = os.environ.get(CATCHING)
    os.environ[CATCHING] = "FALSE"
    try:
        yield
    finally:
        if given is None:
            del os.environ[CATCHING]
        else:
            os.environ[CATCHING] = given


def _converted(served: serving.Serving, opset: int) -> onnx.ModelProto:
    """What tf2onnx makes of it.

    tf2onnx has each optimiser work on a copy, so that it can leave out one that fails. Copies of a graph of 160 MB took
    10 GB, so it works without them unless one fails.
    """
    import tf2onnx

    function = served.serve
    attempt = functools.partial(
        tf2onnx.convert.from_function,
        function,
        function.input_signature,
        opset=opset,
        custom_rewriter=[whole_dilations],
    )
    with _quiet():
        try:
            with _in_place():
                return attempt()[0]
        except Exception:  # of many kinds
            return attempt()[0]


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph after onnxruntime's basic optimisations: standard operators, batch norm and padding in the Convs."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = os.path.join(folder, "folded.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(options.optimized_model_filepath)
    used = {node.domain for node in folded.graph.node}
    kept = [opset for opset in folded.opset_import if opset.domain in used]  # onnxruntime lists all that it knows
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    return folded


def explicit_pads(model: onnx.ModelProto) -> None:
    """Writes the padding of "same" convolutions of stride 1 in numbers; that of others depends on the image's size."""
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        settings = {attribute.name: attribute for attribute in node.attribute}
        strides = list(settings["strides"].ints) if "strides" in settings else [1, 1]
        if "auto_pad" in settings and settings["auto_pad"].s == b"SAME_UPPER" and strides == [1, 1]:
            dilations = list(settings["dilations"].ints) if "dilations" in settings else [1, 1]
            sides = [_same(n, dilation) for dilation, n in zip(dilations, settings["kernel_shape"].ints)]
            pads = [before for before, _ in sides] + [after for _, after in sides]
            node.attribute.remove(settings["auto_pad"])
            node.attribute.append(onnx.helper.make_attribute("pads", pads))


def convert(served: serving.Serving, *, opset: int = 17) -> onnx.ModelProto:
    """The graph of what is served, with its inputs and outputs under the same names.

    Args:
        served: what to convert; its sizes become the graph's, unknown ones are named n, h and w.
        opset: version of ONNX' operators; tf2onnx 1.17 is tested with 14 to 18.

    Returns:
        model: image uint8 (n, h, w, 3) -> labels uint8 (n, h, w) and, if served, probabilities float32 (n, h, w, c).

    Raises:
        ValueError: tf2onnx cannot convert it.
    """
    import tf2onnx

    function = served.serve
    try:
        model = _converted(served, opset)
        names = [value.name for value in model.graph.input]
        if len(names) != len(function.input_signature):  # tensors that the function holds and that are no variables
            raise ValueError(f"its inputs are {', '.join(names)}.")
        model = fold(model)  # a copy without what tf2onnx left in the memory of its messages
        process.give_back()
        explicit_pads(model)
    except Exception as error:  # of many kinds
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        versions = f"tf2onnx {tf2onnx.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
        raise ValueError(f"{versions}: the conversion fails: {reason}") from None
    shape = function.input_signature[0].shape
    for value in [*model.graph.input, *model.graph.output]:
        for dim, name, known in zip(value.type.tensor_type.shape.dim, "nhw", shape):
            if known:
                dim.dim_value = known
            else:
                dim.dim_param = name
    onnx.checker.check_model(model)
    return model


def stamp(model: onnx.ModelProto, entries: Mapping[str, str]) -> None:
    """Write the entries into the model's metadata, in place of all that is there."""
    model.producer_name, model.producer_version = "ass_tf", entries["ass_tf_version"]
    model.doc_string = "image: uint8 (n, h, w, 3), RGB -> labels: uint8 (n, h, w), train ids"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(entries))


def write(model: onnx.ModelProto, file: Path) -> None:
    """Write a model whole or not at all."""
    with storage.replacing(file) as unfinished, open(unfinished, "wb") as stream:
        stream.write(model.SerializeToString())
        os.fsync(stream.fileno())
