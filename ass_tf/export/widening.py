"""Channels of zeros for the head of a quantised graph, so that onnxruntime takes its faster kernel.

On x86 that kernel takes 8-bit convolutions of at least 16 output channels in multiples of 8, and of 4 with AVX-512
(`MlasConvSymPackWSize` in onnxruntime/core/mlas/lib/convsym.cpp). It copies the patches of others out first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from ass_tf.export import onnx_graph

MULTIPLE, LEAST = 8, 16


def widen(quantised: onnx.ModelProto) -> None:
    """Give the head's convolutions more output channels, of zeros, and cut them off their sum; changes the graph.

    Args:
        quantised: QDQ graph whose last Resize takes the sum of the head's branches. It stays as it is if a branch is
            no quantised convolution or shares its weights with another part.
    """
    graph = quantised.graph
    made_by = {output: node for node in graph.node for output in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    scores = onnx_graph.scores_of(graph)
    try:
        branches = list(_branches(scores, made_by))
    except KeyError:
        return
    parts = {part for conv in branches for part in conv.input[1:]}
    names = {name for part in parts for name in made_by[part].input}
    own = parts.union(*(conv.output for conv in branches))
    if any((names | parts) & set(node.input) for node in graph.node if node.output[0] not in own):
        return
    count = tensors[made_by[branches[0].input[1]].input[0]].dims[0]
    wide = max(LEAST, -(-count // MULTIPLE) * MULTIPLE)
    if wide == count:
        return
    for name in names:
        values = numpy_helper.to_array(tensors[name])
        added = np.zeros((wide - count, *values.shape[1:]), values.dtype)
        if values.dtype.kind == "f":
            added[:] = values[0]  # the scale of a bias must stay that of input times weight, or nothing is fused
        tensors[name].CopyFrom(numpy_helper.from_array(np.concatenate([values, added]), name))
    _cut(graph, scores, count)


def _branches(scores: str, made_by: dict[str, onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The quantised convolutions that add up to the scores.

    Raises:
        KeyError: something else is added as well.
    """
    waiting = [scores]
    while waiting:
        node = made_by[waiting.pop()]
        if node.op_type == "Add":
            waiting.extend(node.input)
            continue
        for kind in ("DequantizeLinear", "QuantizeLinear"):
            if node.op_type != kind:
                raise KeyError(kind)
            node = made_by[node.input[0]]
        if node.op_type != "Conv" or any(part not in made_by for part in node.input[1:]) or len(node.input) < 3:
            raise KeyError("Conv")
        yield node


def _cut(graph: onnx.GraphProto, scores: str, count: int) -> None:
    """Let `scores` hold the first `count` of the channels that it held."""
    place, node = next((place, node) for place, node in enumerate(graph.node) if scores in node.output)
    node.output[:] = [f"{scores}_wide"]
    bounds = {"starts": 0, "ends": count, "axes": 1}
    names = [f"{scores}_{key}" for key in bounds]
    graph.initializer.extend(numpy_helper.from_array(np.array([n]), name) for n, name in zip(bounds.values(), names))
    graph.node.insert(place + 1, onnx.helper.make_node("Slice", [f"{scores}_wide", *names], [scores], f"{scores}_cut"))
    del graph.value_info[:]  # some would now be wrong
