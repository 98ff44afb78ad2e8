"""Every backbone of the table: features of keras.applications at its own stride, and grids at the others."""

import keras
import numpy as np
import pytest

from ass_tf.config import schema
from ass_tf.config.backbones import BACKBONES
from ass_tf.models.backbones import application
from ass_tf.models.batch_norm import norms_of
from ass_tf.models.generator import build_generator
from ass_tf.weights import applications

NEW = ["mobilenetv3large", "efficientnetv2b0", "efficientnetv2s", "convnexttiny"]
LARGE = [pytest.param(name, marks=pytest.mark.slow) if name != "mobilenetv3large" else name for name in NEW]


def build(name, stride, **settings):
    model = schema.Model(backbone=name, output_stride=stride, rates=(1,), weights=None, **settings)
    return build_generator(5, model)


@pytest.mark.parametrize("name", LARGE)
def test_features_at_its_own_stride_are_those_of_keras_applications(name, tmp_path):
    row = BACKBONES[name]
    keras.utils.set_random_seed(0)
    theirs = application.make(row.application)
    rng = np.random.default_rng(0)
    theirs.set_weights([spread(weight, rng) for weight in theirs.get_weights()])
    file = tmp_path / "their.weights.h5"
    theirs.save_weights(str(file))
    ours = build(name, 32)
    applications.load_backbone(ours, name, str(file))
    ends = [theirs.output]
    if "features" in row.options:
        ends = [application.layer_of(theirs, row.options[key]).output for key in ("features", "skip")]
    reference = keras.Model(theirs.input, ends)
    for size in ((64, 96), (75, 101)):
        images = rng.uniform(0, 255, (1, *size, 3)).astype("f")
        expected = reference(images, training=False)
        found = ours(images, training=False)[0]
        wanted = np.asarray(expected[0] if isinstance(expected, (list, tuple)) else expected)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def spread(weight, rng):
    """Weights that let every layer matter: those of LayerScale and of norms are far from 0.

    Scales below 1 keep the activations of a deep network small; else rounding errors grow to the size of the features.
    """
    if weight.ndim > 1:
        return weight
    return weight / 2 + rng.uniform(0.1, 0.3, weight.shape).astype(weight.dtype)


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(
    "name", ["mobilenetv3large", "efficientnetlite0", pytest.param("convnexttiny", marks=pytest.mark.slow)]
)
def test_later_strides_become_dilations(name, stride):
    generator = build(name, stride, head="deeplabv3plus")
    convolutions = [layer for layer in generator.layers if hasattr(layer, "dilation_rate")]
    assert {layer.dilation_rate[0] for layer in convolutions} == {1, 2} | ({4} if stride == 8 else set())
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype("f")
    context = keras.Model(generator.input, generator.get_layer("head_aspp0_relu").output)(images)
    assert context.shape[1:3] == (64 // stride, 96 // stride)
    assert generator(images)[1].shape == (1, 16, 24, 5)


@pytest.mark.parametrize("name", ["mobilenetv3large", "efficientnetlite0"])
def test_a_training_pass_is_repeatable_and_moves_every_running_mean(name):
    generator = build(name, 16)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3)).astype("f")
    weights = generator.get_weights()
    first = generator(images, training=True)[1].numpy()
    assert all(norm.get_weights()[2].any() for norm in norms_of(generator))
    generator.set_weights(weights)
    np.testing.assert_array_equal(generator(images, training=True)[1], first)


def test_convnext_has_no_batch_norm():
    generator = build("convnexttiny", 16)
    assert norms_of(generator) == []
