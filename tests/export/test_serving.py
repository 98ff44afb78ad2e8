import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ass_tf.export import serving
from ass_tf.models import resize
from ass_tf.runs import trained

IMAGES = np.random.default_rng(1).integers(0, 256, (2, 33, 47, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def generator(finished):
    return trained.load(finished)[1]


def test_labels_are_the_likeliest_classes_of_the_upsampled_logits(generator):
    logits = generator(IMAGES.astype(np.float32), training=False)[1]
    scores = resize.upsample(logits, (33, 47))
    served = serving.Serving(generator, probabilities=True).serve(tf.constant(IMAGES))
    assert served["labels"].dtype == tf.uint8
    np.testing.assert_array_equal(served["labels"], tf.argmax(scores, -1))
    np.testing.assert_allclose(served["probabilities"], tf.nn.softmax(scores), rtol=1e-4, atol=1e-6)
    assert len(np.unique(served["labels"])) > 3  # else the test above says little


def test_probabilities_are_given_on_request_only(generator):
    assert set(serving.Serving(generator).serve(tf.constant(IMAGES))) == {"labels"}


def test_fixed_size_is_in_the_signature(generator):
    served = serving.Serving(generator, size=(32, 64), batch=3).serve
    assert served.input_signature[0].shape == (3, 32, 64, 3)


@pytest.mark.slow
def test_saved_model_runs_where_the_package_cannot_be_imported(generator, tmp_path):
    version = serving.save(serving.Serving(generator, probabilities=True), tmp_path / "model", {"model.json": b"{}"})
    np.save(tmp_path / "images.npy", IMAGES)
    code = """
import sys
sys.modules["ass_tf"] = None
import numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
for count in (1, 2):
    found = served(image=tf.constant(np.load("images.npy")[:count]))
    np.savez(f"found{count}.npz", **{key: value.numpy() for key, value in found.items()})
"""
    subprocess.run([sys.executable, "-c", code, str(version)], cwd=tmp_path, check=True, capture_output=True)
    expected = serving.Serving(generator, probabilities=True).serve(tf.constant(IMAGES))
    for count in (1, 2):
        found = np.load(tmp_path / f"found{count}.npz")
        assert set(found) == {"labels", "probabilities"}
        np.testing.assert_array_equal(found["labels"], expected["labels"][:count])
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"][:count], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_each_save_is_the_next_version_and_leaves_the_others(generator, tmp_path):
    model = serving.Serving(generator)
    (tmp_path / "9").mkdir()
    assert serving.save(model, tmp_path, {"model.json": b'{"a": 1}'}) == tmp_path / "10"
    assert json.loads((tmp_path / "10/assets.extra/model.json").read_text()) == {"a": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"9", "10"}


def test_save_that_fails_leaves_nothing(generator, tmp_path, monkeypatch):
    def fail(_, folder, **__):
        tf.io.gfile.makedirs(folder)
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="the SavedModel cannot be written: No space left on device"):
        serving.save(serving.Serving(generator), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
