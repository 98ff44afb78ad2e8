"""Smaller numbers in an ONNX graph: weights of 16 bits, or weights and activations of 8.

What that costs in agreement is measured by `agreement`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime import quantization

from ass_tf import datasets
from ass_tf.export import agreement, onnx_graph, rounding, widening

SMALLEST = 1024  # values; smaller tensors stay as they are
WATCHED = 32  # images from which roundings are improved
KEPT = 6  # one in so many convolutions, the first ones, stays float32: all later ones inherit their errors
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
        return next(({"image": batch} for batch in self.batches), None)


def quantise(model: onnx.ModelProto, images: Sequence[np.ndarray], target: str = "any") -> onnx.ModelProto:
    """A copy that computes in 8-bit integers: static QDQ, one scale per output channel of a weight.

    The first convolutions and the sums behind the head's branches stay float32; ranges are averages over the images, so
    that one odd image does not stretch them. CPUs without VNNI add pairs of products in 16 bits, where 8-bit weights
    overflow; for "any" CPU the weights keep to 7 bits. Their roundings are then improved by `rounding`, and the head
    is made wide enough for the fastest kernel by `widening`.

    Args:
        model: float32, folded.
        images: uint8 (1, h, w, 3) each, from which the ranges of the activations are taken.
        target: "any" CPU, or those with "vnni".

    Returns:
        quantised: the model with the same inputs and outputs; all but convolutions and their neighbours stays float32.
    """
    logger, level = logging.getLogger(), logging.getLogger().level
    session = agreement.session_of(model)
    with tempfile.TemporaryDirectory() as folder:
        plain, reduced = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, plain)
        try:
            logger.setLevel(logging.ERROR)  # onnxruntime asks for preparations that `conversion.fold` has made
            quantization.quantize_static(
                plain,
                reduced,
                _Images(agreement.filled(session, image) for image in images),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=QUANTISED,
                nodes_to_exclude=_kept(model),
                extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.05},
                per_channel=True,
                reduce_range=target == "any",
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            logger.setLevel(level)
        quantised = onnx.load(reduced)
    rounding.improve(quantised, model, datasets.spread(images, WATCHED), rounding.LARGEST[target])
    widening.widen(quantised)
    del quantised.metadata_props[:]
    return quantised


def _kept(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay float32."""
    nodes = list(model.graph.node)
    made_by = {output: node for node in nodes for output in node.output}
    places = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    kept = [node.name for node in nodes[: places[len(places) // KEPT]]]
    waiting = [onnx_graph.scores_of(model.graph)]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and node.op_type == "Add":
            kept.append(node.name)
            waiting.extend(node.input)
    return kept
