"""The DeepLab-v3+ head: what it sees, what D_s sees of it, at every output stride."""

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import SMALL

from ass_tf.config import schema
from ass_tf.models import HEAD
from ass_tf.models.generator import build_generator, variables_of

RATES = (1, 2)


def build(backbone="tiny", rates=RATES, **settings):
    named = backbone if isinstance(backbone, str) else "resnet50"
    model = schema.Model(backbone=named, head="deeplabv3plus", head_width=16, rates=rates, weights=None, **settings)
    return build_generator(5, model, backbone=None if named == backbone else backbone)


@pytest.mark.parametrize(
    ("backbone", "stride"),
    [("tiny", 8), ("tiny", 16), ("mobilenetv2", 8), ("mobilenetv2", 32), (SMALL, 16), (SMALL, 32)],
    ids=lambda value: value if isinstance(value, str | int) else "resnet",
)
def test_scores_lie_on_the_grid_of_stride_4_whatever_the_output_stride(backbone, stride):
    generator = build(backbone, output_stride=stride)
    first, last = (generator.get_layer(f"{HEAD}{name}").output for name in ("aspp0_relu", "decoder1_pointwise_relu"))
    at = keras.Model(generator.input, [first, last, *generator.outputs])
    context, decoded, features, logits = at(np.random.RandomState(0).uniform(0, 255, (1, 65, 97, 3)).astype("f"))
    assert context.shape[1:3] == (64 // stride + 1, 96 // stride + 1)
    assert features.shape == (1, 17, 25, 16)
    assert logits.shape == (1, 17, 25, 5)
    np.testing.assert_array_equal(features, decoded)  # F is what the last classifying layer sees
    kernel, bias = generator.get_layer(f"{HEAD}0").get_weights()
    np.testing.assert_allclose(logits, features @ kernel[0, 0] + bias, rtol=1e-4, atol=1e-5)


def test_the_features_of_stride_4_reach_the_scores():
    generator = build("mobilenetv2", output_stride=32)
    images = np.random.RandomState(0).uniform(0, 255, (1, 65, 97, 3)).astype("f")
    before = generator(images, training=True)[1].numpy()
    layer = generator.get_layer(f"{HEAD}skip")
    assert layer.input.shape[-1] == 24  # of the last bottleneck before stride 8
    layer.set_weights([-weight for weight in layer.get_weights()])
    assert np.abs(generator(images, training=True)[1].numpy() - before).max() > 1e-2


def test_its_variables_are_the_heads_and_those_of_the_norms_if_they_are_learned():
    plain, scaled = (variables_of(build(learn_scale=learn)) for learn in (False, True))
    separable = 2 * len(RATES) + 2 * 2  # depthwise and pointwise
    assert len(plain[1]) == separable + 3 + 2  # 1x1 of the context, of the joined, of the skip; the classifier
    assert len(scaled[1]) == len(plain[1]) + 2 * (separable + 3)
    norms = [layer for layer in build().layers if isinstance(layer, layers.BatchNormalization)]
    assert len(scaled[0]) - len(plain[0]) == 2 * sum(not norm.name.startswith(HEAD) for norm in norms)


def test_frozen_batch_norm_is_the_backbones_alone():
    # The head's running statistics would be those of random weights.
    generator = build(batch_norm="frozen")
    for layer in generator.layers:
        if isinstance(layer, layers.BatchNormalization):
            assert layer.trainable == layer.name.startswith(HEAD)
