"""A run with a teacher: stopped and gone on, judged, exported, adapted."""

import json

import numpy as np
import pytest
from small_runs import assert_identical, settings

from ass_tf import adabn, evaluate, train
from ass_tf.export import to_onnx
from ass_tf.runs import trained

pytestmark = pytest.mark.slow
SETTINGS = {
    "model": {
        "backbone": "tiny",
        "head": "deeplabv3plus",
        "head_width": 8,
        "rates": [1],
        "weights": None,
        "output_stride": 16,
        "learn_scale": True,
    },
    "sampling": {"rare_class": 0.1},
    "losses": {"class_weights": 0.5, "hard_pixels": 0.7},
    "self_training": {"weight": 1.0, "start": 3, "warmup": 3},
    "optimiser": {
        "generator": "AdamW",
        "generator_options": {"weight_decay": 0.01},
        "lr": 0.01,
        "head_multiplier": 1.0,
        "warmup_steps": 3,
        "clip_norm": 10.0,
        "decay_steps": 100,
    },
    "train": {"steps": 8, "validate_every": 4, "checkpoint_every": 4, "log_every": 2, "shares_every": 5},
}


@pytest.fixture(scope="module")
def file(scenes):
    path = scenes / "self_trained.json"
    path.write_text(json.dumps(settings(scenes, **SETTINGS)))
    return path


def run(file, folder, *words):
    assert train.main(["--config", str(file), "--run", str(folder), *(["--set", *words] if words else [])]) == 0
    return folder


@pytest.fixture(scope="module")
def whole(file, tmp_path_factory):
    return run(file, tmp_path_factory.mktemp("self_trained") / "run")


def test_it_goes_on_from_any_step_to_the_same_end(file, whole, tmp_path):
    for steps in (4, 8):  # in its warm-up, to the end
        run(file, tmp_path / "parts", f"train.steps={steps}")
    assert_identical(whole, tmp_path / "parts")
    records = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "self_training_loss" in record] == [4, 6, 8]
    shares = next(record["gradient_shares"] for record in records if "gradient_shares" in record)
    assert "self_training_loss" in shares


def test_it_is_judged_by_its_teacher_unless_the_student_is_asked_for(whole, tmp_path):
    scores = {}
    for network in (None, "teacher", "student"):
        words = ["--network", network] if network else []
        out = tmp_path / str(network)
        assert evaluate.main(["--run", str(whole), "--snapshot", "last", "--out", str(out), *words]) == 0
        scores[network] = json.loads((out / "result.json").read_text())["last"]
    noted = json.loads((whole / "result.json").read_text())["last"]
    assert scores[None]["confusion"] == scores["teacher"]["confusion"] == noted["confusion"]
    assert scores["student"]["confusion"] != scores["teacher"]["confusion"]
    assert [scores[name]["settings"]["network"] for name in scores] == ["teacher", "teacher", "student"]


def test_either_network_is_exported(whole):
    for words, name, network in (([], "model", "teacher"), (["--network", "student"], "model_student", "student")):
        assert to_onnx.main(["--run", str(whole), *words]) == 0
        import onnx

        model = onnx.load(whole / "export" / f"{name}.onnx")
        assert {entry.key: entry.value for entry in model.metadata_props}["network"] == network
    weights = [trained.load(whole, network=network)[1].get_weights() for network in trained.NETWORKS]
    assert any((one != other).any() for one, other in zip(*weights))


def test_adabn_makes_a_run_of_the_teacher(whole, tmp_path):
    assert adabn.main(["--run", str(whole), "--out", str(tmp_path / "adapted")]) == 0
    teacher, adapted = (trained.load(folder)[1] for folder in (whole, tmp_path / "adapted"))
    for one, other in zip(teacher.trainable_variables, adapted.trainable_variables):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_run_without_a_teacher_has_none(finished, capsys):
    assert evaluate.main(["--run", str(finished), "--network", "teacher"]) == 1
    expected = "error: --network must be student for a run without self-training. Received: teacher."
    assert capsys.readouterr().err.strip() == expected
