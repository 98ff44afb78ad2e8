import re

import exports
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ass_tf.export import agreement, precision, rounding, to_onnx

BATCHES = [np.random.default_rng(i).integers(0, 256, (1, 32, 64, 3), dtype=np.uint8) for i in range(4)]


@pytest.fixture(scope="module")
def loaded(model):
    return onnx.load(model)


def test_halved_weights_take_half_the_space_and_hardly_change_the_labels(loaded):
    halved = precision.halve(loaded)
    assert halved.ByteSize() < 0.52 * loaded.ByteSize()
    assert agreement.agreeing(loaded, halved, BATCHES) > 0.99
    onnx.checker.check_model(halved)


def test_weights_beyond_float16_stay_as_they_are():
    weights = np.full((1, 1, 40, 40), 1e5, np.float32)
    graph = onnx.helper.make_graph([], "graph", [], [], [numpy_helper.from_array(weights, "large")])
    halved = precision.halve(onnx.helper.make_model(graph))
    assert [tensor.name for tensor in halved.graph.initializer] == ["large"]


@pytest.mark.parametrize(
    ("target", "largest"), [("any", 64), pytest.param("vnni", 127, marks=pytest.mark.slow)]
)  # 7, 8 bits
def test_quantised_weights_are_integers_with_a_scale_for_each_channel(loaded, target, largest):
    quantised = precision.quantise(loaded, BATCHES, target)
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    made_by = {node.output[0]: node for node in quantised.graph.node}
    convolutions = [node for node in quantised.graph.node if node.op_type == "Conv"]
    quantised_ones = [node for node in convolutions if node.input[1] in made_by]
    assert [convolutions.index(node) for node in quantised_ones] == list(range(1, 11))  # one in six stays, the first
    for node in quantised_ones:
        weight, scale = (numpy_helper.to_array(tensors[name]) for name in made_by[node.input[1]].input[:2])
        assert weight.dtype == np.int8
        assert largest / 2 < np.abs(weight.astype(int)).max() <= largest
        assert scale.shape == weight.shape[:1]
    assert agreement.agreeing(loaded, quantised, BATCHES) > 0.9


def one_convolution(inputs=("x", "w", "b")):
    """image -> y, a 1x1 convolution whose weights all round the same way, with one weight that sets the scale."""
    weights = np.full((2, 3, 1, 1), 0.4 / 63, np.float32)
    weights[:, 0] = 1.0
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2]),
        onnx.helper.make_node("Conv", inputs, ["y"], name="conv", kernel_shape=[1, 1]),
    ]
    tensors = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.zeros(2, np.float32), "b")]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", "h", "w", 3])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2, "h", "w"])
    graph = onnx.helper.make_graph(nodes, "graph", [image], [y], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_corrected_biases_take_out_the_mean_error_of_rounded_weights(monkeypatch):
    model = one_convolution()

    def mean_error(quantised):
        found = [[agreement.session_of(m).run(["y"], {"image": b})[0] for b in BATCHES] for m in (model, quantised)]
        return np.abs(np.mean(np.subtract(*found), (0, 1, 3, 4))).max()

    corrected = mean_error(precision.quantise(model, BATCHES))
    monkeypatch.setattr(rounding, "improve", lambda *_: None)
    plain = mean_error(precision.quantise(model, BATCHES))
    assert plain == pytest.approx(2 * 127.5 * 0.4 / 63, rel=0.2)  # two channels of mean 127.5 lose 0.4 of a step each
    assert corrected < 0.1 * plain


def test_convolutions_without_bias_are_quantised():
    model = one_convolution(inputs=("x", "w"))
    quantised = precision.quantise(model, BATCHES)
    (found,) = (node for node in quantised.graph.node if node.op_type == "Conv")
    made_by = {node.output[0]: node.op_type for node in quantised.graph.node}
    assert [made_by[name] for name in found.input] == ["DequantizeLinear"] * 2
    exact, rounded = (agreement.session_of(m).run(["y"], {"image": BATCHES[0]})[0] for m in (model, quantised))
    assert np.abs(exact - rounded).max() < 0.02 * exact.max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float16", "int8"])
def test_command_reports_agreement_and_both_scores(finished, tmp_path, capsys, name):
    file = tmp_path / "small.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), "--precision", name]) == 0
    printed = capsys.readouterr().out
    share = re.search(
        rf"{name} and float32 give the same label to ([\d.]+)% of the pixels of the validation images", printed
    )
    assert float(share[1]) > 90
    assert re.search(rf"mIoU: float32 [\d.]+, {name} [\d.]+ \([+-][\d.]+\)", printed)
    assert exports.metadata(onnx.load(file))["precision"] == name


@pytest.mark.slow
def test_calibration_takes_a_folder_of_images(finished, scenes, tmp_path, capsys):
    file = tmp_path / "small.onnx"
    words = ["--precision", "int8", "--calibrate", str(scenes / "gta5" / "images"), "--size", "32x64"]
    assert to_onnx.main(["--run", str(finished), "--out", str(file), *words]) == 0
    printed = capsys.readouterr().out
    assert "Calibrating on 4 images" in printed
    assert "mIoU: float32" in printed  # the validation images have that size


@pytest.mark.slow
def test_score_that_cannot_be_had_is_told_with_its_reason(finished, tmp_path, capsys):
    words = ["--precision", "float16", "--size", "48x80", "--batch", "2"]
    assert to_onnx.main(["--run", str(finished), "--out", str(tmp_path / "a.onnx"), *words]) == 0
    assert "No mIoU: the validation images have 32 x 64 pixels, the model takes others." in capsys.readouterr().out
