"""Batch norm by the fused operation, against Keras' own layer."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from ass_tf.models.batch_norm import BatchNorm, momentum_set, moved_together
from ass_tf.runs import trained

SHAPE = (2, 9, 7, 5)
TYPES = {"float32": 1e-5, "mixed_bfloat16": 2e-2, "mixed_float16": 2e-3}  # policies, and how far the outputs may be off


def normal(seed, shape=SHAPE, spread=1.0, middle=0.0):
    return tf.constant(np.random.RandomState(seed).normal(middle, spread, shape), tf.float32)


def both(policy, trainable=True):
    """Ours and Keras' layer with the same variables, gamma and statistics off their defaults."""
    made = []
    for kind in (BatchNorm, layers.BatchNormalization):
        with trained.precision(policy):
            layer = kind(momentum=0.9, epsilon=1e-3, trainable=trainable)
            layer.build(SHAPE)
        c = SHAPE[-1]
        layer.set_weights([normal(1, c), normal(2, c), normal(3, c), abs(normal(4, c)) + 0.5])
        made.append(layer)
    return made


def run(layer, inputs, training):
    """Outputs and the gradient of the inputs, in a graph."""

    @tf.function
    def passes(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
        return outputs, tape.gradient(outputs, inputs, output_gradients=tf.cast(normal(5), outputs.dtype))

    return [tf.cast(value, tf.float32).numpy() for value in passes(inputs)]


@pytest.mark.parametrize("policy", TYPES)
@pytest.mark.parametrize(("training", "trainable"), [(True, True), (True, False), (False, True)])
def test_equals_keras_own_layer(policy, training, trainable):
    ours, keras_own = both(policy, trainable)
    inputs = normal(0, spread=3.0, middle=2.0)
    for found, expected in zip(run(ours, inputs, training), run(keras_own, inputs, training)):
        np.testing.assert_allclose(found, expected, rtol=TYPES[policy], atol=TYPES[policy])


@pytest.mark.parametrize("policy", TYPES)
def test_statistics_are_the_biased_ones_in_float32(policy):
    ours, _ = both(policy)
    inputs = normal(0, spread=3.0, middle=2.0)
    *_, mean, variance = (value.copy() for value in ours.get_weights())
    run(ours, inputs, True)
    seen = tf.cast(tf.cast(inputs, ours.compute_dtype), tf.float64).numpy()  # what a 16-bit layer is given
    *_, new_mean, new_variance = ours.get_weights()
    assert {value.dtype for value in ours.get_weights()} == {np.dtype("float32")}
    np.testing.assert_allclose(new_mean, 0.9 * mean + 0.1 * seen.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(new_variance, 0.9 * variance + 0.1 * seen.var((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(None, None, None, 5), (2, 9, 7, 5)])
def test_size_may_be_unknown_until_it_runs(shape):
    ours, _ = both("float32")
    inputs = normal(0)
    tf.function(lambda x: ours(x, training=True), input_signature=[tf.TensorSpec(shape)])(inputs)
    variance = 0.9 * (abs(normal(4, 5)) + 0.5) + 0.1 * tf.math.reduce_variance(inputs, [0, 1, 2])
    np.testing.assert_allclose(ours.get_weights()[3], variance, rtol=1e-5)


def test_momentum_zero_takes_the_batch_and_one_keeps_what_was():
    ours, _ = both("float32")
    network = type("", (), {"layers": [ours]})
    before = ours.get_weights()
    with momentum_set(network, 1.0):
        ours(normal(0), training=True)
    np.testing.assert_array_equal(ours.get_weights(), before)
    with momentum_set(network, 0.0):
        ours(normal(0), training=True)
    np.testing.assert_allclose(ours.get_weights()[2], tf.reduce_mean(normal(0), [0, 1, 2]), rtol=1e-5, atol=1e-6)


def test_frozen_and_inference_move_no_statistics():
    for trainable, training in ((False, True), (True, False)):
        ours, _ = both("float32", trainable)
        before = ours.get_weights()
        run(ours, normal(0), training)
        np.testing.assert_array_equal(ours.get_weights(), before)


def test_moved_together_statistics_are_those_of_moving_them_one_by_one():
    network = type("", (), {"layers": [both("float32")[0], both("float32")[0]]})
    before = [layer.get_weights() for layer in network.layers]

    def passes():
        for seed, momentum in enumerate((0.9, 1.0, 0.7)):
            with momentum_set(network, momentum):
                outputs = normal(seed, spread=2.0, middle=1.0)
                for layer in network.layers:
                    outputs = layer(outputs, training=True)

    @tf.function
    def together():
        with moved_together():
            passes()

    found = []
    for moved in (tf.function(passes), together):
        for layer, weights in zip(network.layers, before):
            layer.set_weights(weights)
        moved()
        found.append([layer.get_weights() for layer in network.layers])
    for one_by_one, joined in zip(*found):
        assert not np.array_equal(one_by_one[2], before[0][2])
        for expected, value in zip(one_by_one, joined):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("policy", TYPES)
def test_synchronised_equals_keras_own_over_replicas(policy, two_replicas):
    strategy = two_replicas
    inputs = [normal(seed, spread=3.0, middle=2.0) for seed in range(strategy.num_replicas_in_sync)]
    spread = strategy.experimental_distribute_values_from_function(lambda c: inputs[c.replica_id_in_sync_group])
    found = []
    for kind in (BatchNorm, layers.BatchNormalization):
        with trained.precision(policy), strategy.scope():
            layer = kind(momentum=0.9, epsilon=1e-3, synchronized=True)
            layer.build(SHAPE)

        def passes(inputs, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs, training=True)
            return outputs, tape.gradient(outputs, inputs, output_gradients=tf.cast(normal(5), outputs.dtype))

        run_all = tf.function(lambda inputs, passes=passes: strategy.run(passes, (inputs,)))
        values = [v for pair in run_all(spread) for v in strategy.experimental_local_results(pair)]
        found.append([*(tf.cast(value, tf.float32).numpy() for value in values), *layer.get_weights()])
    for ours, keras_own in zip(*found):
        np.testing.assert_allclose(ours, keras_own, rtol=TYPES[policy], atol=TYPES[policy])
