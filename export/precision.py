"""Smaller numbers in an ONNX graph: weights of 16 bits, or weights and activations of 8.

What that costs in agreement is measured by `agreement`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime import quantization

SMALLEST = 1024  # values; smaller tensors stay as they are
QUANTISED = ["Conv", "Add", "Clip", "Relu", "MaxPool"]


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large weights are stored as float16 and turned back when the model is loaded.

    All computation stays float32, so it runs wherever the float32 model does, from a file of half the size. A tensor
    with a value beyond float16's range stays as it is.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for tensor in halved.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_float16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(halved.graph.node)
    del halved.graph.node[:]
    halved.graph.node.extend([*casts, *nodes])
    return halved


class _Images(quantization.CalibrationDataReader):
    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def quantise(model: onnx.ModelProto, batches: Sequence[np.ndarray]) -> onnx.ModelProto:
    """A copy that computes in 8-bit integers: static QDQ, one scale per output channel of a weight.

    Weights keep to 7 bits, since CPUs without VNNI add pairs of products in 16 bits, where 8-bit weights overflow.

    Args:
        model: float32, folded.
        batches: images uint8 (n, h, w, 3) from which the ranges of the activations are taken.

    Returns:
        quantised: the model with the same inputs and outputs; what is not a convolution or beside one stays float32.
    """
    logger, level = logging.getLogger(), logging.getLogger().level
    with tempfile.TemporaryDirectory() as folder:
        plain, reduced = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, plain)
        try:
            logger.setLevel(logging.ERROR)  # onnxruntime asks for preparations that `conversion.fold` has made
            quantization.quantize_static(
                plain,
                reduced,
                _Images(batches),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=QUANTISED,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            logger.setLevel(level)
        quantised = onnx.load(reduced)
    correct_biases(quantised, model, batches)
    del quantised.metadata_props[:]
    return quantised


def correct_biases(quantised: onnx.ModelProto, model: onnx.ModelProto, batches: Sequence[np.ndarray]) -> None:
    """Takes out of each convolution's bias what rounding its weights adds on average.

    A rounded weight errs by the same amount at every pixel, which shifts the mean of its output channel by error x mean
    of the input; the int32 biases have room for the difference.

    Source: Nagel et al. 2019, arXiv 1906.04721, section 4.2.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = {node.name: node for node in model.graph.node if node.op_type == "Conv"}
    means = _channel_means(model, sorted({node.input[0] for node in kernels.values()}), batches)
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    made_by = {output: node for node in quantised.graph.node for output in node.output}
    for node in quantised.graph.node:
        if node.op_type != "Conv" or node.name not in kernels or not {*node.input[1:3]} <= made_by.keys():
            continue
        original = kernels[node.name]
        values, scale, zero = (numpy_helper.to_array(tensors[name]) for name in made_by[node.input[1]].input)
        scale, zero = (np.reshape(x, (-1, 1, 1, 1)) for x in (scale, zero))
        rounded = (values.astype(np.float32) - zero.astype(np.float32)) * scale
        error = (numpy_helper.to_array(weights[original.input[1]]) - rounded).sum((2, 3))  # (out, in / groups)
        groups = next((a.i for a in original.attribute if a.name == "group"), 1)
        mean = means[original.input[0]].reshape(groups, -1).repeat(len(error) // groups, 0)
        name, bias_scale = made_by[node.input[2]].input[:2]
        bias = numpy_helper.to_array(tensors[name]).astype(np.float64)
        bias += (error * mean).sum(1) / numpy_helper.to_array(tensors[bias_scale])
        limits = np.iinfo(np.int32)
        corrected = np.rint(bias).clip(limits.min, limits.max).astype(np.int32)
        tensors[name].CopyFrom(numpy_helper.from_array(corrected, name))


def _channel_means(model: onnx.ModelProto, names: Sequence[str], batches: Sequence[np.ndarray]) -> dict[str, Any]:
    """Mean over images and pixels of each channel of the named tensors."""
    from agreement import session_of

    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    for name in names:
        exposed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = session_of(exposed)
    totals = [0.0] * len(names)
    for batch in batches:
        found = session.run(list(names), {"image": batch})
        totals = [total + tensor.mean((0, 2, 3), np.float64) for total, tensor in zip(totals, found)]
    return {name: total / len(batches) for name, total in zip(names, totals)}
