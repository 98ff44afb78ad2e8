"""Folders of model servers, held against the published schemas where `make test-serving` has installed them."""

import shlex

import numpy as np
import onnx
import pytest
import tensorflow as tf
from google.protobuf import text_format

from ass_tf.export import to_onnx, to_server


@pytest.fixture(scope="module")
def repository(model, tmp_path_factory):
    """A Triton repository with two versions of a model."""
    out = tmp_path_factory.mktemp("triton")
    for _ in range(2):
        assert to_server.main(["triton", str(model), "--out", str(out), "--name", "town", "--max-batch", "4"]) == 0
    return out


@pytest.fixture(scope="module")
def served(finished, tmp_path_factory):
    """A folder of TensorFlow Serving."""
    out = tmp_path_factory.mktemp("serving")
    assert to_server.main(["tensorflow", str(finished), "--out", str(out), "--name", "town", "--instances", "2"]) == 0
    return out


def test_triton_repository_has_the_model_in_numbered_versions(repository, model):
    files = {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}
    assert files == {"town/1/model.onnx", "town/2/model.onnx", "town/classes.txt", "town/config.pbtxt"}
    assert (repository / "town/2/model.onnx").read_bytes() == model.read_bytes()
    assert (repository / "town/classes.txt").read_text().splitlines()[0] == "road"


def test_triton_configuration_fits_its_schema_and_the_model(repository, model):
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    found = text_format.Parse((repository / "town/config.pbtxt").read_text(), schema.ModelConfig())
    assert (found.name, found.backend, found.max_batch_size) == ("town", "onnxruntime", 4)
    graph = onnx.load(str(model)).graph
    assert [(i.name, list(i.dims), i.data_type) for i in found.input] == [("image", [-1, -1, 3], schema.TYPE_UINT8)]
    assert [o.name for o in found.output] == [o.name for o in graph.output]
    assert found.HasField("dynamic_batching")
    assert found.dynamic_batching.max_queue_delay_microseconds == 5000
    assert [(g.count, g.kind) for g in found.instance_group] == [(1, schema.ModelInstanceGroup.KIND_CPU)]
    warm = found.model_warmup[0].inputs["image"]
    assert (list(warm.dims)[2], warm.zero_data) == (3, True)


@pytest.mark.parametrize("words", [[], ["--probabilities", "--size", "32x48", "--batch", "2"]])
def test_triton_dims_are_the_models(finished, tmp_path, words):
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    file = tmp_path / "model.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), *words]) == 0
    assert to_server.main(["triton", str(file), "--out", str(tmp_path / "r"), "--device", "gpu"]) == 0
    found = text_format.Parse((tmp_path / "r/streets/config.pbtxt").read_text(), schema.ModelConfig())
    graph = onnx.load(str(file)).graph
    for ours, theirs in zip([*found.input, *found.output], [*graph.input, *graph.output]):
        dims = [n.dim_value or -1 for n in theirs.type.tensor_type.shape.dim]
        assert list(ours.dims) == (dims if words else dims[1:])
    assert (found.max_batch_size > 0) == (not words)
    assert found.instance_group[0].kind == schema.ModelInstanceGroup.KIND_GPU


def test_triton_model_with_another_signature_needs_another_name(finished, repository, tmp_path, capsys):
    file = tmp_path / "model.onnx"
    assert to_onnx.main(["--run", str(finished), "--out", str(file), "--probabilities"]) == 0
    assert to_server.main(["triton", str(file), "--out", str(repository), "--name", "town"]) == 1
    assert "have other inputs, outputs or classes; use another --name." in capsys.readouterr().err
    assert not (repository / "town/3").exists()


def test_triton_model_of_other_classes_needs_another_name(model, repository, tmp_path, capsys):
    other = onnx.load(str(model))
    (names,) = (entry for entry in other.metadata_props if entry.key == "class_names")
    names.value = names.value.replace("road", "way")
    onnx.save(other, tmp_path / "model.onnx")
    before = (repository / "town/classes.txt").read_text()
    assert to_server.main(["triton", str(tmp_path / "model.onnx"), "--out", str(repository), "--name", "town"]) == 1
    assert "have other inputs, outputs or classes; use another --name." in capsys.readouterr().err
    assert (repository / "town/classes.txt").read_text() == before


def test_configuration_that_is_no_text_is_named(model, tmp_path, capsys):
    (tmp_path / "town").mkdir()
    (tmp_path / "town/config.pbtxt").write_bytes(b"\xff\xfe")
    assert to_server.main(["triton", str(model), "--out", str(tmp_path), "--name", "town"]) == 1
    assert capsys.readouterr().err.startswith(
        f"error: {tmp_path / 'town/config.pbtxt'}: the file must be text in UTF-8."
    )


def test_file_that_is_no_model_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    for name, message in (("model.onnx", "no model of ass-tf export"), ("none.onnx", "No such file")):
        assert to_server.main(["triton", str(tmp_path / name), "--out", str(tmp_path / "r")]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_tensorflow_version_serves_and_has_a_request_to_warm_up_by(served, finished):
    version = served / "town/1"
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    assert signature(image=tf.zeros((1, 32, 48, 3), tf.uint8))["labels"].shape == (1, 32, 48)
    (record,) = tf.data.TFRecordDataset(str(version / "assets.extra" / to_server.WARMUP))
    serving = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    request = serving.PredictionLog.FromString(record.numpy()).predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("town", "serving_default")
    image = tf.make_ndarray(request.inputs["image"])
    assert (image.dtype, image.shape[0], image.shape[3]) == (np.uint8, 1, 3)
    assert signature(image=tf.constant(image))["labels"].shape == image.shape[:3]


def test_card_of_a_saved_model_holds_code_that_runs_it(served):
    text = (served / "town/1/assets.extra/card.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    known = {"images": np.zeros((2, 32, 48, 3), np.uint8)}
    exec(code.replace("FOLDER", str(served / "town/1")), known)
    assert (known["labels"].shape, known["labels"].dtype) == ((2, 32, 48), tf.uint8)
    assert "ass-tf-infer" not in text


def test_tensorflow_batching_parameters_are_there(served):
    text = (served / "town/batching.config").read_text()
    assert text.splitlines() == [
        "max_batch_size { value: 8 }",
        "batch_timeout_micros { value: 5000 }",
        "max_enqueued_batches { value: 100 }",
        "num_batch_threads { value: 2 }",
    ]


def test_commands_that_start_the_servers_name_what_was_written(model, tmp_path, capsys):
    out = tmp_path / "it's my models"
    assert to_server.main(["triton", str(model), "--out", str(out), "--name", "town"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:3] == ["docker", "run", "--rm"]
    assert f"{out}:/models:ro" in words
    assert words[-1] == "--model-repository=/models"


@pytest.mark.parametrize("name", ["a/b", "", ".a", "a b"])
def test_names_that_servers_do_not_take_are_refused(tmp_path, name, capsys):
    with pytest.raises(SystemExit):
        to_server.main(["triton", "m.onnx", "--out", str(tmp_path), "--name", name])
    assert "argument --name" in capsys.readouterr().err
