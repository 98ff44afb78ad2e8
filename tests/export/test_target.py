"""int8 for CPUs that sum up 8-bit products without overflow, and for all others."""

import argparse

import exports
import onnx
import pytest

from ass_tf.export import agreement, onnx_graph, precision, to_onnx
from ass_tf.system import machine

NOTE = "note: the agreement above is that of a CPU without VNNI, since this one has none."


@pytest.mark.parametrize(
    ("features", "target"),
    [([], "any"), (["AVX2", "AVX-512"], "any"), (["AVX2", "VNNI"], "vnni"), (["AMX-INT8"], "vnni")],
)
def test_default_is_what_this_cpu_can_do(monkeypatch, features, target):
    monkeypatch.setattr(machine, "cpu_features", lambda: features)
    assert to_onnx._default_target() == target


@pytest.mark.parametrize(
    ("features", "words", "target", "noted"),
    [
        (["AVX2"], [], "any", False),
        (["AVX2", "VNNI"], [], "vnni", False),
        (["AVX2"], ["--target", "vnni"], "vnni", True),
        (["AVX2", "VNNI"], ["--target", "any"], "any", False),
    ],
)
def test_file_says_what_it_was_made_for(finished, model, tmp_path, monkeypatch, capsys, features, words, target, noted):
    asked = []
    monkeypatch.setattr(machine, "cpu_features", lambda: features)
    monkeypatch.setattr(onnx_graph, "convert", lambda *_, **__: onnx.load(model))
    monkeypatch.setattr(agreement, "compare", lambda *_: [])
    monkeypatch.setattr(precision, "quantise", lambda float32, _, target: asked.append(target) or float32)
    file = tmp_path / "small.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), "--precision", "int8", *words]) == 0
    metadata = exports.metadata(onnx.load(file))
    assert (metadata["precision"], metadata["target"]) == ("int8", target)
    assert asked == [target]
    assert (NOTE in capsys.readouterr().err.splitlines()) == noted


@pytest.mark.parametrize("name", ["float32", "float16"])
def test_target_goes_with_int8(capsys, name):
    with pytest.raises(SystemExit) as stop:
        to_onnx.main(["--precision", name, "--target", "any"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("error: --target goes with --precision int8")


def test_target_that_is_asked_for_is_in_the_default_name():
    options = {
        "precision": "int8",
        "snapshot": "last",
        "size": None,
        "batch": None,
        "probabilities": False,
        "confidence": False,
    }
    names = [
        to_onnx._name(argparse.Namespace(**options, target=target, network=None)) for target in (None, "any", "vnni")
    ]
    assert names == ["model_int8", "model_int8_any", "model_int8_vnni"]
