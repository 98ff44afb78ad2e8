import argparse
import dataclasses
import shutil
import subprocess
import sys

import exports
import numpy as np
import onnx
import pytest
import small_runs
import tensorflow as tf

from ass_tf import datasets
from ass_tf.export import agreement, card, onnx_graph, serving, to_onnx, to_saved_model
from ass_tf.models import resize
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolder

IMAGES = np.random.default_rng(2).integers(0, 256, (2, 45, 61, 3), dtype=np.uint8)


def operators(file):
    return {node.op_type for node in onnx.load(file).graph.node}


def shapes(value):
    return [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]


def keras_labels(run, images):
    logits = trained.load(run)[1](images.astype(np.float32), training=False)[1]
    return tf.argmax(resize.upsample(logits, images.shape[1:3]), -1).numpy()


def test_model_gives_keras_labels_at_another_size_and_batch(finished, model):
    found = agreement.session_of(model).run(["labels"], {"image": IMAGES})[0]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, keras_labels(finished, IMAGES))
    assert len(np.unique(found)) > 3


def test_batch_norm_padding_and_dilation_are_inside_the_convolutions(model):
    convolutions = [node for node in onnx.load(model).graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 11  # tiny: a stem of 4, 3 blocks of 2, 1 branch
    assert not operators(model) & {"BatchNormalization", "SpaceToDepth", "DepthToSpace", "Pad", "Sub", "Div"}
    dilations = {tuple(a.ints) for node in convolutions for a in node.attribute if a.name == "dilations"}
    assert (8, 8) in dilations


def test_file_says_what_it_is(finished, model):
    described = exports.described(exports.metadata(onnx.load(model)))
    settings = RunFolder(finished).settings()
    expected = exports.described(card.description(finished, settings, "last", 7))
    assert described == {**expected, "precision": "float32"}
    graph = onnx.load(model).graph
    assert [shapes(value) for value in (*graph.input, *graph.output)] == [["n", "h", "w", 3], ["n", "h", "w"]]
    assert [opset.domain for opset in onnx.load(model).opset_import] == [""]


@pytest.mark.slow
def test_size_batch_opset_and_probabilities_are_as_asked(finished, tmp_path):
    file = tmp_path / "new" / "fixed.onnx"
    words = ["--size", "40x72", "--batch", "2", "--opset", "14", "--probabilities"]
    assert to_onnx.main(["--run", str(finished), "--out", str(file), *words]) == 0
    loaded = onnx.load(file)
    assert shapes(loaded.graph.input[0]) == [2, 40, 72, 3]
    assert [shapes(value) for value in loaded.graph.output] == [[2, 40, 72], [2, 40, 72, 19]]
    assert loaded.opset_import[0].version == 14
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 72, 3), dtype=np.uint8)
    labels, probabilities = agreement.session_of(file).run(["labels", "probabilities"], {"image": images})
    np.testing.assert_array_equal(labels, keras_labels(finished, images))
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(-1), labels)


def test_confidence_is_the_largest_softmax_at_a_temperature(finished, tmp_path, capsys):
    file = tmp_path / "sure.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), "--confidence", "--temperature", "2.5"]) == 0
    loaded = onnx.load(file)
    assert [shapes(value) for value in loaded.graph.output] == [["n", "h", "w"]] * 2
    assert {entry.key: entry.value for entry in loaded.metadata_props}["temperature"] == "2.5"
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 57, 3), dtype=np.uint8)
    labels, confidence = agreement.session_of(file).run(["labels", "confidence"], {"image": images})
    logits = resize.upsample(trained.load(finished)[1](images.astype("f"), training=False)[1], (33, 57)).numpy()
    p = np.exp(logits.astype(np.float64) / 2.5)
    p /= p.sum(-1, keepdims=True)
    assert confidence.dtype == np.uint8
    assert np.abs(confidence - 255 * p.max(-1)).max() <= 0.51
    np.testing.assert_array_equal(labels, logits.argmax(-1))


@pytest.mark.parametrize("words", [["--temperature", "2"], ["--confidence", "--temperature", "nan"]])
def test_temperatures_that_make_no_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        to_onnx.main(words)
    assert stopped.value.code == 2
    assert "--temperature" in capsys.readouterr().err


def test_comparison_covers_an_odd_size_and_another_batch():
    shapes = agreement.shapes_for((512, 1024), (None, None, None))
    assert len(shapes) == 5
    assert any(h % 2 and w % 2 for _, h, w in shapes)
    assert {n for n, _, _ in shapes} == {1, 2, 3}
    assert agreement.shapes_for((512, 1024), (None, 64, 96)) == [(1, 64, 96), (2, 64, 96), (3, 64, 96)]
    assert agreement.shapes_for((512, 1024), (4, 64, 96)) == [(4, 64, 96)]


def test_comparison_is_printed_for_every_size(finished, tmp_path, capsys):
    assert to_onnx.main(["--run", str(finished), "--out", str(tmp_path / "a.onnx")]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith(f"Written: {tmp_path / 'a.onnx'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.card.md", "a.onnx"]
    sizes = [" x ".join(map(str, shape)) for shape in agreement.shapes_for((32, 64), (None,) * 3)]
    assert [line[:18].strip() for line in lines[1:]] == sizes
    assert all(line.endswith("0.0000%") for line in lines[1:])


def test_other_weights_are_found_to_disagree(finished, tmp_path):
    generator = trained.load(finished)[1]
    served = serving.Serving(generator, probabilities=True)
    model = onnx_graph.convert(served)
    saved = serving.save(served, tmp_path)
    head = next(layer for layer in generator.layers if layer.name == "head_0")
    head.set_weights([weight[..., ::-1] for weight in head.get_weights()])
    images = [IMAGES[0]]
    (found,) = agreement.compare(generator, saved, model, [(1, 33, 65)], images)
    assert min(found.saved_model, found.onnx) > 0.5
    assert found.difference > 0.1


@pytest.mark.slow
def test_disagreement_fails_names_the_size_and_keeps_the_file(finished, tmp_path, capsys, monkeypatch):
    compare = agreement.compare

    def worse(*given):
        *good, last = compare(*given)
        return [*good, dataclasses.replace(last, onnx=0.0123)]

    monkeypatch.setattr(agreement, "compare", worse)
    (tmp_path / "a.onnx").write_text("an older one")
    assert to_onnx.main(["--run", str(finished), "--out", str(tmp_path / "a.onnx")]) == 1
    error = capsys.readouterr().err
    assert error == (
        f"error: {tmp_path / 'a.unverified.onnx'}: at 3 x 32 x 16 1.23% of the pixels have another label "
        "than Keras gives (at most 0.1% may).\n"
    )
    assert onnx.load(tmp_path / "a.unverified.onnx").graph.node
    assert (tmp_path / "a.onnx").read_text() == "an older one"


def test_newest_finished_run_is_exported_by_default(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.parents[1])
    assert to_saved_model.main([]) == 0
    assert "runs/one/export/saved_model/1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "nowhere"], "error: nowhere/config.json"),
        (["--size", "12"], "must be HEIGHTxWIDTH in pixels"),
        (["--batch", "0"], "must be a whole number from 1 to 9999"),
        (["--batch", "99999999999"], "must be a whole number from 1 to 9999"),
        (["--size", "99999999x99999999"], "each from 1 to 16384"),
        (["--opset", "99"], "--opset"),
        (["--out", "."], "--out must be a file. Received: ., a folder."),
        (["--calibrate", "."], "--calibrate goes with --precision int8"),
        (["--precision", "int8", "--calibrate", "."], "holds no image named"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(finished, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    if "nowhere" not in words:
        words = ["--run", str(finished), *words]
    try:
        status = to_onnx.main(words)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status in (1, 2)
    assert message in error.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_the_older_file(finished, model, tmp_path, monkeypatch):
    file = tmp_path / "a.onnx"
    file.write_text("older")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_graph.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        onnx_graph.write(onnx.load(model), file)
    assert file.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_command_runs_as_the_readme_has_it(finished, tmp_path):
    words = [
        sys.executable,
        str(exports.EXPORT / "to_onnx.py"),
        "--run",
        str(finished),
        "--out",
        str(tmp_path / "a.onnx"),
    ]
    done = subprocess.run(words, cwd=small_runs.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.onnx").exists()


def test_pictures_to_compare_on_are_those_that_can_be_read_and_noise_is_told(finished, scenes, tmp_path, capsys):
    shutil.copytree(scenes / "cityscapes", tmp_path / "cityscapes")
    settings = RunFolder(finished).settings()
    target = settings.target.model_copy(update={"root": str(tmp_path / "cityscapes")})
    settings = settings.model_copy(update={"target": target})
    first, *others = sorted((tmp_path / "cityscapes/leftImg8bit/train").rglob("*.png"))
    first.write_bytes(b"\x89PNG")
    assert len(agreement.pictures_for(settings)) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"skipped: {first}: ")
    assert "note" not in error
    for image in others:
        image.write_bytes(b"\x89PNG")
    assert len(agreement.pictures_for(settings)) == 4
    reason = "since the run's images are not here: none of those tried can be read."
    assert capsys.readouterr().err.splitlines()[-1] == f"note: compared on smooth noise, {reason}"
    shutil.rmtree(tmp_path / "cityscapes")
    assert agreement.pictures_for(settings)[0].shape == (360, 640, 3)
    assert f"not here: {tmp_path / 'cityscapes'}: no such folder." in capsys.readouterr().err


def test_model_whose_miou_cannot_be_counted_is_written_all_the_same(finished, model, monkeypatch, capsys):
    def miou(*_):
        raise datasets.DataError("x.png: cannot be decoded.")

    monkeypatch.setattr(agreement, "miou", miou)
    loaded, options = onnx.load(model), argparse.Namespace(precision="float16", size=None)
    to_onnx._compare_precisions(RunFolder(finished).settings(), loaded, loaded, options, [])
    assert capsys.readouterr().out.splitlines() == [
        "float16 and float32 give the same label to 100.00% of the pixels of the validation images",
        "No mIoU: x.png: cannot be decoded.",
    ]


def test_models_are_not_compared_on_no_image_at_all(model):
    loaded = onnx.load(model)
    with pytest.raises(datasets.DataError, match="none of the images to compare on can be read"):
        agreement.agreeing(loaded, loaded, [])


@pytest.mark.slow
def test_image_that_cannot_be_read_is_skipped_in_the_calibration_and_named(finished, scenes, tmp_path, capsys):
    folder = tmp_path / "photographs"
    shutil.copytree(scenes / "gta5/images", folder)
    (folder / "half.jpg").write_bytes(b"\xff\xd8")
    words = ["--run", str(finished), "--out", str(tmp_path / "m.onnx"), "--precision", "int8", "--calibrate"]
    assert to_onnx.main([*words, str(folder)]) == 0
    assert f"skipped: {folder / 'half.jpg'}: cannot be decoded" in capsys.readouterr().err
    for image in folder.iterdir():
        image.write_bytes(b"\xff\xd8")
    assert to_onnx.main([*words, str(folder)]) == 1
    assert "error: none of the 5 images for the calibration can be read." in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.card.md", "m.onnx", "photographs"]
