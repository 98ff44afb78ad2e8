"""Optimisers by PyTorch's formulas are tested in test_step and test_parity; here those that settings name."""

import importlib.util
import json

import keras
import numpy as np
import pytest
import small_runs
import tensorflow as tf

from ass_tf import config
from ass_tf.methods import optimisers
from ass_tf.runs.folder import RunFolder

ADDONS = importlib.util.find_spec("tensorflow_addons") is not None
with_addons = pytest.mark.skipif(not ADDONS, reason="TensorFlow Addons is not here: make test-addons")
NAMED = [
    ("AdamW", {"weight_decay": 0.001}),
    ("RMSprop", {}),
    *(
        pytest.param(name, options, marks=with_addons)
        for name, options in (
            ("Addons>SGDW", {"weight_decay": 1e-4, "momentum": 0.9}),
            ("Addons>LAMB", {"beta_2": 0.99}),
            ("Addons>Lookahead", {"optimizer": "Addons>RectifiedAdam", "sync_period": 2}),
        )
    ),
]


def test_adam_counts_epsilon_after_the_bias_correction():
    # g = 1e-7, epsilon = 1e-7: both corrected moments are g and g^2 at the first step, which so is rate / 2; with
    # Keras' formula epsilon would count 10 times (beta_2 = 0.99) and the step be rate / 11.
    variable = tf.Variable([1.0])
    optimisers.Adam(0.1, 0.9, 0.99, 1e-7).apply_gradients([(tf.constant([1e-7]), variable)])
    assert float(variable[0]) == pytest.approx(1 - 0.05, rel=1e-4)


@pytest.mark.parametrize(("name", "options"), NAMED)
def test_two_replicas_take_the_steps_of_one(name, options, one_replica, two_replicas):
    # Each replica has half of the gradient, and Keras sums.
    ends = []
    for strategy in (one_replica, two_replicas):
        with strategy.scope():
            variable = tf.Variable(np.linspace(1, 2, 6, dtype="f").reshape(2, 3))
            optimiser = optimisers.build_named(name, 0.01, [variable], options)
        share = 1 / strategy.num_replicas_in_sync

        @tf.function
        def step(optimiser=optimiser, variable=variable, share=share, strategy=strategy):
            strategy.run(lambda: optimiser.apply_gradients([(variable * share, variable)]))

        for _ in range(4):
            step()
        ends.append(variable.numpy())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)
    assert np.abs(ends[0] - np.linspace(1, 2, 6).reshape(2, 3)).min() > 1e-3


@pytest.mark.parametrize("options", [{"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"clipvalue": 0.1}])
def test_clipping_by_keras_is_refused_where_it_would_clip_the_parts_of_replicas(options, two_replicas):
    optimisers.build_named("SGD", 1.0, [tf.Variable([1.0])], options)  # outside the scope there is one replica
    with two_replicas.scope():
        variable = tf.Variable([1.0])
        if not hasattr(keras.optimizers.SGD, "_get_variable_index"):  # Keras 2 clips the sum
            optimiser = optimisers.build_named("SGD", 1.0, [variable], options)
            tf.function(lambda: two_replicas.run(lambda: optimiser.apply_gradients([(tf.ones([1]), variable)])))()
            assert float(variable[0]) == pytest.approx(0.9)
            return
        with pytest.raises(ValueError, match=r"of each of 2 replicas; optimiser\.clip_norm clips G's"):
            optimisers.build_named("SGD", 1.0, [variable], options)


def settings_for(scenes, name, options, **train):
    # The optimiser of both sides, as a settings file names it.
    both = {"generator": name, "discriminator": name, "generator_options": options, "discriminator_options": options}
    settings = small_runs.settings(scenes)
    settings["optimiser"] |= both
    settings["train"] |= train
    return settings


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), NAMED)
def test_a_run_goes_on_from_its_snapshot_as_if_nothing_had_been(name, options, scenes, tmp_path):
    file = tmp_path / "named.json"
    file.write_text(json.dumps(settings_for(scenes, name, options, steps=12, checkpoint_every=3, validate_every=12)))
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    undisturbed = small_runs.start(file, whole)
    _, errors = undisturbed.communicate(timeout=200)
    assert undisturbed.returncode == 0, errors
    process = small_runs.start(file, resumed)
    small_runs.wait_for(lambda: 3 in RunFolder(resumed).snapshots(), process)
    process.kill()
    process.communicate()
    assert 12 not in RunFolder(resumed).snapshots()
    again = small_runs.start(file, resumed)
    _, errors = again.communicate(timeout=200)
    assert again.returncode == 0, errors
    small_runs.assert_identical(resumed, whole)


@pytest.mark.skipif(ADDONS, reason="TensorFlow Addons is here")
def test_addons_elsewhere_gets_one_line_that_says_what_to_install(scenes, tmp_path):
    file = tmp_path / "addons.json"
    file.write_text(json.dumps(settings_for(scenes, "Addons>LAMB", {})))
    process = small_runs.start(file, tmp_path / "run")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert [line for line in errors.splitlines() if line.startswith("error:")] == [
        "error: optimiser Addons>LAMB needs TensorFlow Addons: pip install 'ass_tf[addons]' (TensorFlow 2.15, Python "
        "3.10 or 3.11), or name one of Keras' own."
    ]
    assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["NoSuch", "Adamm", "schedules", "serialize", ""])
def test_a_name_that_keras_does_not_know_is_told(name):
    with pytest.raises(ValueError, match="must be a name that Keras knows"):
        optimisers.build_named(name, 0.1, [tf.Variable([1.0])], {})


@pytest.mark.parametrize(
    "options",
    [
        {"no_such": 1},
        {"beta_1": "a"},
        {"learning_rate": 0.1},
        {"optimizer": None},
        {"use_ema": True},
        {"loss_scale_factor": 8.0},
    ],
)
def test_options_that_it_does_not_take_are_told_before_the_first_step(options):
    with pytest.raises(ValueError, match=r"AdamW does not work with its options|name that Keras knows") as error:
        optimisers.build_named("AdamW", 0.1, [tf.Variable([1.0])], options)
    assert "\n" not in str(error.value)


def test_options_for_our_own_are_refused(scenes):
    with pytest.raises(config.ConfigError, match=r"optimiser\.generator_options must be empty for SGD"):
        config.from_dict(settings_for(scenes, "SGD", {"momentum": 0.5}))


def test_rates_rise_linearly_and_then_decay():
    rate = optimisers.Decay(0.1, 100, 1.0, warmup_steps=4)
    found = [float(rate(tf.constant(step))) for step in (0, 1, 3, 50, 100)]
    assert found == pytest.approx([0.1 / 4, 0.1 * 0.99 / 2, 0.1 * 0.97, 0.05, 0.0])
    again = optimisers.Decay.from_config(rate.get_config())
    assert float(again(tf.constant(1))) == found[1]
    assert float(optimisers.Decay(0.1, 100, 1.0)(tf.constant(0))) == pytest.approx(0.1)
