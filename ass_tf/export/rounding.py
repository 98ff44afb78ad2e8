"""Better roundings for the weights of a quantised ONNX graph, from how its inputs vary together.

Rounding each weight to its nearest integer ignores that a neighbour can make up for the error. Here each column of a
kernel is rounded in turn and the columns behind it take on what it lost, by the covariance of the inputs; what is left
of the mean goes into the bias. Scales, ranges and the graph stay the quantiser's own.

Source: Frantar et al. 2022 (GPTQ), arXiv 2210.17323, section 3; Nagel et al. 2019, arXiv 1906.04721, section 4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from ass_tf.export.agreement import filled, session_of

POSITIONS = 2048  # of each image and convolution, at random; a quarter of that for kernels of over 1024 columns
LARGEST = {"any": 64, "vnni": 127}  # target -> largest quantised weight, of 7 or 8 bits
DAMPING = 0.01  # share of the mean variance, added to the diagonal
STRIPE = 64
WIDEST = 4608  # columns that are rounded together; the taps of a wider kernel are taken one by one


@dataclasses.dataclass
class Kernel:
    """A convolution of the float32 model and what its input was seen to be."""

    node: onnx.NodeProto
    weight: np.ndarray  # float32 (out, in / groups, kh, kw)
    total: np.ndarray | float = 0.0  # (blocks, k); a block is a group of channels or, of a wide kernel, a tap
    products: np.ndarray | float = 0.0  # (blocks, k, k), float32
    count: int = 0

    @property
    def by_tap(self) -> bool:
        return self.setting("group", [1])[0] == 1 and self.weight[0].size > WIDEST

    def setting(self, name: str, default: Sequence[int]) -> Sequence[int]:
        return next((list(a.ints) or [a.i] for a in self.node.attribute if a.name == name), default)

    def watch(self, inputs: np.ndarray, rng: np.random.Generator) -> None:
        """Take in patches of one input, float32 (n, channels, h, w)."""
        patches = self._patches(inputs, rng)  # (blocks, count, k)
        self.total = self.total + patches.sum(1, np.float64)
        self.products = self.products + patches.transpose(0, 2, 1) @ patches
        self.count += patches.shape[1]

    def _patches(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        (groups,), strides = self.setting("group", [1]), self.setting("strides", [1, 1])
        dilations, pads = self.setting("dilations", [1, 1]), self.setting("pads", [0, 0, 0, 0])
        padded = np.pad(inputs, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
        count = POSITIONS if self.weight[0].size <= 1024 else POSITIONS // 4
        place = [rng.integers(0, len(inputs), count)[:, None, None]]
        for axis in (0, 1):
            reach = dilations[axis] * (self.weight.shape[2 + axis] - 1)
            outputs = (padded.shape[2 + axis] - reach - 1) // strides[axis] + 1
            start = rng.integers(0, outputs, count) * strides[axis]
            offset = np.arange(self.weight.shape[2 + axis]) * dilations[axis]
            shape = (-1, len(offset), 1) if axis == 0 else (-1, 1, len(offset))
            place.append((start[:, None] + offset).reshape(shape))
        patches = padded[place[0], :, place[1], place[2]]  # (count, kh, kw, channels)
        if self.by_tap:
            return patches.reshape(count, -1, patches.shape[-1]).transpose(1, 0, 2)
        return patches.transpose(0, 3, 1, 2).reshape(count, groups, -1).transpose(1, 0, 2)

    def rounded(self, scale: np.ndarray, largest: int = LARGEST["any"]) -> tuple[np.ndarray, np.ndarray]:
        """Integers for the weights, and what is missing from the mean output of each channel.

        Args:
            scale: float (out,). One integer step of each output channel.
            largest: what no integer goes beyond, either way.

        Returns:
            integers: int8, the weight's shape.
            missing: float (out,).
        """
        blocks, k = self.total.shape
        out = len(self.weight)
        mean = self.total / self.count
        squares = self.products.astype(np.float64) / self.count
        covariance = squares - mean[:, :, None] * mean[:, None, :]
        variance, square = (np.trace(m, axis1=1, axis2=2) / k for m in (covariance, squares))
        damping = DAMPING * variance.clip(0) + 1e-4 * square + 1e-9  # inputs may be all but constant
        covariance += np.eye(k) * damping[:, None, None]
        # Row j of the factor says how the columns behind j make up for an error in j.
        factor = np.linalg.cholesky(np.linalg.inv(covariance)).transpose(0, 2, 1)
        if self.by_tap:
            exact, step = self.weight.transpose(2, 3, 0, 1).reshape(blocks, out, k), scale[None].repeat(blocks, 0)
        else:
            exact, step = self.weight.reshape(blocks, -1, k), scale.reshape(blocks, -1)
        left = exact.astype(np.float64)
        integers = np.empty_like(left)
        errors = np.empty_like(left)
        for begin in range(0, k, STRIPE):  # within a stripe at once, behind it in one product
            end = min(begin + STRIPE, k)
            for j in range(begin, end):
                integers[..., j] = np.rint(left[..., j] / step).clip(-largest, largest)
                errors[..., j] = (left[..., j] - integers[..., j] * step) / factor[:, j, j, None]
                left[..., j + 1 : end] -= errors[..., j, None] * factor[:, None, j, j + 1 : end]
            left[..., end:] -= errors[..., begin:end] @ factor[:, begin:end, end:]
        missing = ((exact - integers * step[..., None]) * mean[:, None]).sum(-1)
        if self.by_tap:
            kernel = integers.reshape(*self.weight.shape[2:], out, k).transpose(2, 3, 0, 1)
            return kernel.astype(np.int8), missing.sum(0)
        return integers.reshape(self.weight.shape).astype(np.int8), missing.ravel()


def kernels_of(model: onnx.ModelProto, images: Sequence[np.ndarray]) -> dict[str, Kernel]:
    """The convolutions of a float32 model by name, with their inputs watched on images uint8 (1, h, w, 3)."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found = [node for node in model.graph.node if node.op_type == "Conv"]
    kernels = {node.name: Kernel(node, numpy_helper.to_array(weights[node.input[1]])) for node in found}
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    names = list(dict.fromkeys(node.input[0] for node in found))
    for name in names:
        exposed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session, rng = session_of(exposed), np.random.default_rng(0)
    for image in images:
        inputs = dict(zip(names, session.run(names, {"image": filled(session, image)})))
        for kernel in kernels.values():
            kernel.watch(inputs[kernel.node.input[0]], rng)
    return kernels


def improve(
    quantised: onnx.ModelProto,
    model: onnx.ModelProto,
    images: Sequence[np.ndarray],
    largest: int = LARGEST["any"],
) -> None:
    """Replace the weights and biases of a quantised graph's convolutions by better roundings of the float32 ones.

    Args:
        quantised: QDQ graph that onnxruntime's quantiser made of `model`; changed in place.
        model: float32.
        images: uint8 (1, h, w, 3) each.
        largest: of the integers of `quantised`.
    """
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    made_by = {output: node for node in quantised.graph.node for output in node.output}
    nodes = {node.name: node for node in quantised.graph.node if node.op_type == "Conv"}
    kernels = kernels_of(model, images)
    for name in list(kernels):
        kernel = kernels.pop(name)  # and its covariance with it
        weight, *biases = (made_by.get(part) for part in nodes[name].input[1:3])
        if weight is None or None in biases:
            continue
        scale = numpy_helper.to_array(tensors[weight.input[1]]).astype(np.float64)
        integers, missing = kernel.rounded(scale, largest)
        tensors[weight.input[0]].CopyFrom(numpy_helper.from_array(integers, weight.input[0]))
        for bias in biases:  # one at most
            values, step = (numpy_helper.to_array(tensors[part]).astype(np.float64) for part in bias.input[:2])
            limits = np.iinfo(np.int32)
            corrected = np.rint(values + missing / step).clip(limits.min, limits.max).astype(np.int32)
            tensors[bias.input[0]].CopyFrom(numpy_helper.from_array(corrected, bias.input[0]))
