"""The discriminators' shapes, function and first weights."""

import numpy as np
import pytest
from goldens import NUMBERS, draw

from ass_tf.models import discriminators


@pytest.mark.parametrize(("seed", "size"), [(10, (64, 128)), (11, (90, 160))], ids=["64x128", "90x160"])
def test_global_discriminator_computes_what_the_base_code_does(seed, size):
    network = discriminators.build_global_discriminator(19)
    for index, name in enumerate(("conv1", "conv2", "conv3", "conv4", "classifier")):
        layer = network.get_layer(f"conv{index}")
        _, _, inputs, outputs = layer.kernel.shape
        outputs = 1 if name == "classifier" else outputs
        kernel = draw(f"{name}.weight", (outputs, inputs, 4, 4)).transpose(2, 3, 1, 0)
        bias = draw(f"{name}.bias", (outputs,))
        if name == "classifier":  # the base code has one channel, the paper two
            kernel, bias = np.repeat(kernel, 2, -1) * [0, 1], np.repeat(bias, 2) * [0, 1]
        layer.set_weights([kernel, bias])
    logits = 3 * np.random.RandomState(seed).standard_normal((1, 19, *size)).transpose(0, 2, 3, 1)
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    output = network(probs.astype("f")).numpy()
    expected = NUMBERS[f"discriminator/{size[0]}x{size[1]}/output"]
    np.testing.assert_allclose(output[..., 1:], expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(output[..., 0], 0)


@pytest.mark.parametrize(
    ("size", "cells"),
    [((512, 1024), (16, 32)), ((720, 1280), (22, 40)), ((760, 1280), (23, 40)), ((321, 321), (10, 10))],
)
def test_global_discriminator_has_the_base_codes_grid(size, cells):
    network = discriminators.build_global_discriminator(19)
    assert tuple(network.compute_output_shape((1, *size, 19))) == (1, *cells, 2)


def test_global_discriminator_has_the_base_codes_size():
    # 2,781,121 parameters with one output channel; a second one adds 4 x 4 x 512 + 1.
    assert discriminators.build_global_discriminator(19).count_params() == 2781121 + 16 * 512 + 1


def test_fcsa_discriminator_maps_each_class_vector_to_2c_scores():
    network = discriminators.build_fcsa_discriminator(19, 2048)
    assert network(np.zeros((2, 19, 2048), "f")).shape == (2, 19, 38)
    assert network.count_params() == 2048 * 1024 + 1024 + 1024 * 38 + 38


def test_csa_discriminator_maps_each_cell_to_2c_scores_by_itself():
    network = discriminators.build_csa_discriminator(3, 5, width=8)
    features = np.random.RandomState(0).standard_normal((1, 4, 6, 5)).astype("f")
    scores = network(features).numpy()
    assert scores.shape == (1, 4, 6, 6)
    features[0, 2, 3] += 1
    assert ((network(features).numpy() != scores).any(-1)[0] == (np.indices((4, 6)) == [[[2]], [[3]]]).all(0)).all()


def test_first_weights_are_pytorchs():
    kernel, bias = discriminators.build_global_discriminator(19).get_layer("conv0").get_weights()
    bound = 1 / np.sqrt(19 * 16)
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert 0.8 * bound < np.abs(bias).max() <= bound
