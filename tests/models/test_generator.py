"""G's geometry, function and weights."""

import goldens
import keras
import numpy as np
import pytest
import tensorflow as tf

from ass_tf.config import schema
from ass_tf.config.backbones import Backbone
from ass_tf.labels import IGNORE
from ass_tf.models import CAFFE_BGR_MEAN, resize
from ass_tf.models.generator import build_generator, variables_of
from ass_tf.weights import initial

SMALL = Backbone("resnet", {"blocks": (1, 1, 1, 1)})


def build(backbone="tiny", output_stride=8, rates=(1, 2), weights=None, batch_norm="batch", classes=4):
    named = backbone if isinstance(backbone, str) else "resnet50"
    model = schema.Model(
        backbone=named, output_stride=output_stride, rates=rates, weights=weights, batch_norm=batch_norm
    )
    generator = build_generator(classes, model, backbone=None if named == backbone else backbone)
    initial.load_initial(generator, model)
    return generator


def _symmetric(weight):
    """A kernel (h, w, in, out) made equal to its mirror images."""
    return (weight + weight[:, ::-1] + weight[::-1] + weight[::-1, ::-1]) / 4 if weight.ndim == 4 else weight


@pytest.fixture(scope="module")
def golden_generator():
    return build(SMALL, rates=(6, 12), classes=19)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("size", goldens.SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_resnet_computes_what_the_base_code_does(golden_generator, size, training):
    goldens.fill_generator(golden_generator)
    seed = goldens.SIZES.index(size)
    normalised = np.random.RandomState(seed).uniform(-128, 128, (2, 3, *size)).astype("f").transpose(0, 2, 3, 1)
    images = (normalised + np.array(CAFFE_BGR_MEAN, "f"))[..., ::-1]
    features, logits = golden_generator(images, training=training)
    key = f"deeplab/{size[0]}x{size[1]}/{'train' if training else 'eval'}"
    expected = goldens.NUMBERS[f"{key}/logits"]
    assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-4
    if f"{key}/features_c0_c64" in goldens.NUMBERS:
        expected = goldens.NUMBERS[f"{key}/features_c0_c64"]
        assert np.abs(features[..., :64] - expected).max() / np.abs(expected).max() < 1e-4
    if training:
        _, _, mean, variance = golden_generator.get_layer("conv1_bn").get_weights()
        np.testing.assert_allclose(mean, goldens.NUMBERS[f"{key}/bn1_running_mean"], rtol=1e-4, atol=1e-6)
        # PyTorch stores the unbiased variance: of the tenth that is new, n / (n - 1) of ours.
        count = 2 * ((size[0] - 1) // 2 + 1) * ((size[1] - 1) // 2 + 1)
        start = goldens.draw("bn1.running_var", variance.shape)
        unbiased = 0.9 * start + (variance - 0.9 * start) / (1 - 1 / count)
        np.testing.assert_allclose(unbiased, goldens.NUMBERS[f"{key}/bn1_running_var"], rtol=1e-4)


def test_upsampling_computes_what_the_base_code_does():
    scores = np.random.RandomState(50).standard_normal((1, 3, 9, 17)).astype("f").transpose(0, 2, 3, 1)
    expected = goldens.NUMBERS["upsample/9x17_to_64x128/align_corners"]
    np.testing.assert_allclose(resize.upsample(scores, (64, 128)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "cells"),
    [((512, 1024), (65, 129)), ((720, 1280), (91, 161)), ((760, 1280), (96, 161)), ((321, 321), (41, 41))],
)
def test_resnet_grids_have_the_base_codes_sizes(golden_generator, size, cells):
    # From the shapes alone.
    assert tuple(golden_generator(keras.Input((*size, 3)))[1].shape)[1:3] == cells


@pytest.mark.parametrize("backbone", ["tiny", "mobilenetv2", SMALL], ids=["tiny", "mobilenetv2", "resnet"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_the_centre_of_cell_i_is_pixel_stride_times_i(backbone, output_stride):
    # With kernels that are their own mirror images, the features of a mirrored image of 10 x 16 + 1 pixels are the
    # mirrored features only if cell i and cell n - 1 - i lie symmetrically, so cell 0 on pixel 0.
    generator = build(backbone, output_stride)
    generator.set_weights([_symmetric(w) for w in generator.get_weights()])
    images = np.random.RandomState(0).uniform(0, 255, (1, 161, 161, 3)).astype("f")
    features = generator(images, training=True)[0].numpy()
    mirrored = generator(images[:, ::-1, ::-1], training=True)[0].numpy()
    assert features.shape[1:3] == (160 // output_stride + 1,) * 2
    np.testing.assert_allclose(mirrored[:, ::-1, ::-1], features, atol=1e-3 * np.abs(features).max())
    assert np.abs(features[:, 1:] - features[:, :-1]).max() > 0.1 * np.abs(features).max()


@pytest.mark.parametrize("backbone", ["tiny", "mobilenetv2", SMALL], ids=["tiny", "mobilenetv2", "resnet"])
def test_dense_features_subsampled_are_the_features_at_the_nominal_stride(backbone):
    dense, sparse = build(backbone, 8), build(backbone, 16)
    sparse.set_weights(dense.get_weights())
    images = np.random.RandomState(0).uniform(0, 255, (1, 97, 129, 3)).astype("f")
    ours, expected = dense(images, training=False)[0][:, ::2, ::2], sparse(images, training=False)[0]
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())


def test_every_head_branch_is_summed_and_gets_gradient():
    generator = build(rates=(1, 2, 3, 4))
    kernels = [generator.get_layer(f"head_{i}").kernel for i in range(4)]
    kernels = [k if isinstance(k, tf.Variable) else k.value for k in kernels]
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(generator(np.ones((1, 33, 33, 3), "f"))[1] ** 2)
    assert all(np.abs(g).sum() > 0 for g in tape.gradient(value, kernels))


def test_gamma_and_beta_are_not_among_the_variables_that_learn():
    generator = build()
    backbone, head = variables_of(generator)
    frozen = [w for layer in generator.layers if "bn" in layer.name for w in layer.weights]
    assert not {id(v) for v in backbone + head} & {id(v) for v in frozen}
    assert len(head) == 4  # two branches, kernel and bias
    assert len(backbone) + len(head) + len(frozen) == len(generator.weights)


def test_batch_statistics_are_used_in_training_and_the_running_ones_move_by_a_tenth():
    generator = build()
    layer = generator.get_layer("stem0_bn")
    images = np.random.RandomState(0).uniform(0, 255, (2, 33, 33, 3)).astype("f")
    before = generator(images, training=False)[1]
    trained = generator(images, training=True)[1]
    assert np.abs(trained - before).max() > 1e-3
    stem = keras.Model(generator.input, generator.get_layer("stem0").output)(images)
    np.testing.assert_allclose(layer.get_weights()[2], 0.1 * np.mean(stem, (0, 1, 2)), rtol=1e-3, atol=1e-5)


def test_frozen_batch_norm_uses_the_running_statistics_in_training():
    generator = build(batch_norm="frozen")
    images = np.random.RandomState(0).uniform(0, 255, (2, 33, 33, 3)).astype("f")
    before = [w.copy() for w in generator.get_weights()]
    trained, judged = generator(images, training=True)[1], generator(images, training=False)[1]
    np.testing.assert_allclose(trained, judged, rtol=1e-4, atol=1e-5)
    for old, new in zip(before, generator.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_labels_are_downsampled_to_the_pixel_under_the_centre():
    labels = np.random.RandomState(0).randint(0, 9, (1, 65, 97)).astype("i4")
    labels[0, 8, 16] = IGNORE
    cells = resize.downsample_labels(labels, (9, 13)).numpy()
    np.testing.assert_array_equal(cells, labels[:, ::8, ::8])
    assert cells[0, 1, 2] == IGNORE


def test_head_is_drawn_as_in_the_base_code():
    # Kernels N(0, 0.01); biases U(+-1 / sqrt(9 x 96)) with PyTorch's fan-in of a 3x3 convolution on 96 channels.
    kernel, bias = build(classes=300).get_layer("head_0").get_weights()
    assert kernel.std() == pytest.approx(0.01, rel=0.05)
    assert 0.9 / np.sqrt(9 * 96) < np.abs(bias).max() <= 1 / np.sqrt(9 * 96)


def test_mobilenet_takes_every_weight_of_a_file(tmp_path):
    application = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(None, None, 3))
    rs = np.random.RandomState(0)
    application.set_weights([np.abs(rs.normal(1, 0.2, w.shape)).astype("f") for w in application.get_weights()])
    application.save_weights(str(tmp_path / "mobilenet.weights.h5"))
    generator = build("mobilenetv2", weights=str(tmp_path / "mobilenet.weights.h5"))
    for layer in generator.layers:
        if layer.weights and not layer.name.startswith("head_"):
            for ours, theirs in zip(layer.get_weights(), application.get_layer(layer.name).get_weights()):
                np.testing.assert_array_equal(ours, theirs)


def test_resnet_folds_the_biases_of_keras_applications(tmp_path):
    application = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(None, None, 3))
    rs = np.random.RandomState(0)
    for name in ("conv1_conv", "conv1_bn"):
        layer = application.get_layer(name)
        layer.set_weights([np.abs(rs.normal(0.1, 0.1, w.shape)).astype("f") for w in layer.get_weights()])
    application.save_weights(str(tmp_path / "resnet.weights.h5"))
    generator = build("resnet50", weights=str(tmp_path / "resnet.weights.h5"))
    images = rs.uniform(0, 255, (1, 32, 32, 3)).astype("f")
    theirs = keras.Model(application.input, application.get_layer("conv1_bn").output)
    ours = keras.Model(generator.input, generator.get_layer("conv1_bn").output)
    normalised = images[..., ::-1] - np.array(CAFFE_BGR_MEAN, "f")
    np.testing.assert_allclose(ours(images), theirs(normalised), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("part", "value", "rule"), [(0, np.nan, "finite"), (3, -1.0, "not be negative")])
def test_impossible_values_of_a_weights_file_are_named(tmp_path, part, value, rule):
    application = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(None, None, 3))
    norm = application.get_layer("bn_Conv1")
    norm.set_weights([np.full_like(w, value) if i == part else w for i, w in enumerate(norm.get_weights())])
    application.save_weights(str(tmp_path / "bad.weights.h5"))
    with pytest.raises(ValueError, match=rf"bad\.weights\.h5: bn_Conv1\.\w+ must .*{rule}\."):
        build("mobilenetv2", weights=str(tmp_path / "bad.weights.h5"))


@pytest.mark.parametrize("content", [b"", b"no weights at all"])
def test_a_broken_weights_file_is_named(tmp_path, content):
    (tmp_path / "broken.weights.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.weights\.h5"):
        build("mobilenetv2", weights=str(tmp_path / "broken.weights.h5"))
