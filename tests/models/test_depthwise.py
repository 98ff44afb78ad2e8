"""Dilated depthwise convolutions as one operation, where TensorFlow has it."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from ass_tf.models import depthwise


def normal(seed, shape):
    return tf.constant(np.random.RandomState(seed).standard_normal(shape), tf.float32)


def passes(layer, inputs, training):
    """Outputs, and the gradients of inputs and kernel."""

    @tf.function
    def run(inputs):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training) if training is not None else layer(inputs)
        pull = normal(2, outputs.shape)
        return [outputs, *(tape.gradient(outputs, of, pull) for of in (inputs, layer.trainable_variables[0]))]

    return [value.numpy() for value in run(inputs)]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("rate", "size"), [(1, (8, 9)), (2, (8, 9)), (4, (5, 13))])
def test_equals_keras_own_layer(monkeypatch, native, rate, size):
    if native and not depthwise.has_native_dilation():
        pytest.skip("TensorFlow has no dilated depthwise operation here")
    monkeypatch.setattr(depthwise, "has_native_dilation", lambda: native)
    options = {"kernel_size": 3, "padding": "same", "dilation_rate": rate, "use_bias": False}
    ours, keras_own = depthwise.DepthwiseConv2D(**options), layers.DepthwiseConv2D(**options)
    inputs = normal(0, (2, *size, 6))
    for layer in (ours, keras_own):
        layer.build(inputs.shape)
        layer.set_weights([normal(1, (3, 3, 6, 1))])
    expected = passes(keras_own, inputs, None)
    for training in (True, False):
        for found, wanted in zip(passes(ours, inputs, training), expected):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_graph_outside_training_needs_no_onednn():
    ours = depthwise.DepthwiseConv2D(3, padding="same", dilation_rate=2, use_bias=False)
    graph = tf.function(lambda x: ours(x, training=False)).get_concrete_function(tf.TensorSpec((1, 8, 8, 4))).graph
    nodes = [node for node in graph.get_operations() if node.type == "DepthwiseConv2dNative"]
    assert [list(node.get_attr("dilations")) for node in nodes] == [[1, 1, 1, 1]]
