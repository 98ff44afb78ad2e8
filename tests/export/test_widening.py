import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ass_tf.export import agreement, precision, rounding, widening

IMAGES = [np.random.default_rng(i).integers(0, 256, (1, 32, 64, 3), dtype=np.uint8) for i in range(3)]


@pytest.fixture
def narrow(model, monkeypatch):
    """An int8 model of 19 classes as it is before its head is widened."""
    with monkeypatch.context() as patch:
        patch.setattr(rounding, "improve", lambda *_: None)
        patch.setattr(widening, "widen", lambda _: None)
        return precision.quantise(onnx.load(model), IMAGES)


def copy_of(model):
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def kernels(model, tmp_path):
    """Shapes of the weights of all 8-bit convolutions, once onnxruntime has fused them."""
    options = agreement.onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    agreement.onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "fused.onnx").graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return [shapes[node.input[3]] for node in graph.node if node.op_type == "QLinearConv"]


def test_widened_head_gives_the_same_scores_from_fused_convolutions(narrow, tmp_path):
    wide = copy_of(narrow)
    widening.widen(wide)
    onnx.checker.check_model(wide, full_check=True)
    before, after = (agreement.session_of(agreement.with_scores(m, upsampled=False)) for m in (narrow, wide))
    for image in IMAGES:
        for expected, found in zip(before.run(None, {"image": image}), after.run(None, {"image": image})):
            np.testing.assert_array_equal(found, expected)
    was, now = kernels(narrow, tmp_path), kernels(wide, tmp_path)
    assert len(was) == len(now) == 10
    assert {shape[0] for shape in was} - {shape[0] for shape in now} == {19}
    assert [shape for shape in now if shape[0] == 24]
    assert [shape for shape in now if shape[0] != 24] == [shape for shape in was if shape[0] != 19]


def test_wide_enough_head_stays_as_it_is(narrow):
    widening.widen(narrow)
    once = copy_of(narrow)
    widening.widen(narrow)  # a Slice is none of the branches' operators
    assert narrow == once


def test_multiple_of_the_kernel_is_not_widened(narrow, monkeypatch):
    monkeypatch.setattr(widening, "MULTIPLE", 19)
    once = copy_of(narrow)
    widening.widen(narrow)
    assert narrow == once


def test_weights_that_another_part_uses_are_left_alone(narrow):
    made_by = {node.output[0]: node for node in narrow.graph.node}
    head = next(
        node
        for node in narrow.graph.node
        if node.op_type == "Conv" and node.input[1] in made_by and shape_of(narrow, made_by[node.input[1]])[0] == 19
    )
    narrow.graph.node.append(onnx.helper.make_node("Identity", [head.input[1]], ["elsewhere"]))
    once = copy_of(narrow)
    widening.widen(narrow)
    assert narrow == once


def shape_of(model, dequantised):
    return next(
        numpy_helper.to_array(tensor).shape for tensor in model.graph.initializer if tensor.name == dequantised.input[0]
    )
