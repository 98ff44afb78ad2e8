"""The head's convolutions as products in training."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from ass_tf.models import taps


def passes(layer, inputs, shape):
    """Outputs of training, and the gradients of inputs, kernel and bias."""

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def run(inputs):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True) if isinstance(layer, taps.Conv2D) else layer(inputs)
            total = tf.reduce_sum(tf.sin(outputs))
        return [outputs, *(tape.gradient(total, of) for of in (inputs, *layer.trainable_variables))]

    return [value.numpy() for value in run(inputs)]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("rate", "size"), [(1, (8, 9)), (2, (8, 9)), (6, (5, 13)), (24, (8, 30))])
def test_equals_keras_own_layer(monkeypatch, known, rate, size):
    made = []
    monkeypatch.setattr(taps, "convolve", lambda *a, real=taps.convolve: made.append(a) or real(*a))
    options = {"filters": 4, "kernel_size": 3, "padding": "same", "dilation_rate": rate}
    ours, keras_own = taps.Conv2D(**options), layers.Conv2D(**options)
    random = np.random.RandomState(0)
    inputs = tf.constant(random.standard_normal((2, *size, 64)), tf.float32)
    weights = [random.standard_normal((3, 3, 64, 4)) / 24, random.standard_normal(4)]
    for layer in (ours, keras_own):
        layer.build(inputs.shape)
        layer.set_weights(weights)
    shape = inputs.shape if known else (None, None, None, 64)
    for found, wanted in zip(passes(ours, inputs, shape), passes(keras_own, inputs, shape)):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert bool(made) == (known and not tf.config.list_physical_devices("GPU"))


def test_sums_are_float32_under_bfloat16():
    inputs = tf.ones((1, 3, 3, 64), tf.bfloat16)
    kernel = tf.fill((3, 3, 64, 1), tf.cast(0.1, tf.bfloat16))
    found = taps.convolve(inputs, kernel, 1)
    assert found.dtype == tf.float32
    assert found[0, 1, 1, 0] == 9 * found[0, 0, 0, 0] / 4


def test_outside_training_the_graph_is_keras_own():
    ours = taps.Conv2D(2, 3, padding="same", dilation_rate=2)
    graph = tf.function(lambda x: ours(x, training=False)).get_concrete_function(tf.TensorSpec((1, 8, 8, 64))).graph
    assert "MatMul" not in {node.type for node in graph.get_operations()}
