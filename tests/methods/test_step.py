"""The step of equations 9 to 11: who learns from what, by how much, on how many devices."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from games import RATES, changed, make_batch, make_game, run, weights_of
from games import eager as eager  # a fixture
from goldens import NUMBERS

from ass_tf.labels import IGNORE
from ass_tf.methods import losses, optimisers
from ass_tf.methods.optimisers import raw
from ass_tf.methods.step import graph_as_written
from ass_tf.models import resize
from ass_tf.models.generator import variables_of

METHODS = ["oracle", "joint", "ga", "fcsa", "csa"]
MEASURES = ["loss", "accuracy"]  # of a discriminator


def test_sgd_takes_the_base_codes_steps():
    weights = tf.Variable(np.random.RandomState(30).standard_normal(50).astype("f"))
    rate = keras.optimizers.schedules.PolynomialDecay(2.5e-2, 100, end_learning_rate=0.0, power=0.9)
    optimiser = optimisers.SGD(rate, 0.9, True, 5e-4)
    for step, expected in enumerate(NUMBERS["optim/sgd_nesterov_m0.9_wd5e-4_lr2.5e-2_poly100"]):
        gradient = np.random.RandomState(40 + step).standard_normal(50).astype("f")
        optimiser.apply_gradients([(tf.constant(gradient), weights)])
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)


def test_adam_takes_the_base_codes_steps():
    weights = tf.Variable(np.random.RandomState(30).standard_normal(50).astype("f"))
    rate = keras.optimizers.schedules.PolynomialDecay(1e-2, 100, end_learning_rate=0.0, power=0.9)
    optimiser = optimisers.Adam(rate, 0.9, 0.99, 1e-8)
    for step, expected in enumerate(NUMBERS["optim/adam_b0.9_0.99_lr1e-2_poly100"]):
        gradient = np.random.RandomState(40 + step).standard_normal(50).astype("f")
        optimiser.apply_gradients([(tf.constant(gradient), weights)])
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_returns_the_terms_of_its_method_and_trains_its_networks(method, one_replica):
    game = make_game(method, one_replica)
    before = {name: weights_of(n) for name, n in game.networks._asdict().items() if n is not None}
    terms = run(game, make_batch(method))[0]
    expected = {"segmentation_loss_labelled"}
    if method != "oracle":
        expected |= {"segmentation_loss_source"}
    if method in ("ga", "fcsa", "csa"):
        expected |= {"global_adversarial_loss"}
        expected |= {f"global_discriminator_{m}_{role}" for m in MEASURES for role in ("source", "unlabelled")}
    if method in ("fcsa", "csa"):
        expected |= {f"{method}_adversarial_loss"}
        expected |= {f"{method}_discriminator_{m}_{role}" for m in MEASURES for role in ("source", "labelled")}
    assert set(terms) == expected
    assert all(changed(weights, getattr(game.networks, name)) for name, weights in before.items())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_two_replicas_take_the_step_of_one(method, one_replica, two_replicas):
    games = [make_game(method, strategy) for strategy in (one_replica, two_replicas)]
    batch = make_batch(method, count=4)
    single, double = (run(game, batch, steps=2) for game in games)
    for one, two in zip(single, double):
        assert one == pytest.approx(two, rel=2e-4)
    for one, two in zip(games[0].networks, games[1].networks):
        for a, b in zip(one.weights if one else [], two.weights if two else []):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-3, atol=2e-4)


def test_the_terms_are_the_losses_of_one_forward_pass(one_replica):
    game, batch = make_game("csa", one_replica), make_batch("csa")
    features, logits = game.networks.generator(batch["source"][0], training=True)
    upsampled = resize.upsample(logits, (48, 64))
    cells = resize.downsample_labels(batch["source"][1], features.shape[1:3])
    scores = game.networks.global_discriminator(tf.nn.softmax(upsampled))
    expected = {
        "segmentation_loss_source": losses.segmentation_loss(upsampled, batch["source"][1]),
        "global_adversarial_loss": losses.global_adversarial_loss(scores),
        "csa_adversarial_loss": losses.csa_adversarial_loss(game.networks.semantic_discriminator(features), cells),
    }
    terms = run(game, batch)[0]
    for name, value in expected.items():
        assert terms[name] == pytest.approx(float(tf.reduce_mean(value)), rel=1e-4)


def test_measured_norms_are_those_of_each_weighted_term_and_measuring_changes_no_step(one_replica):
    games = [make_game("csa", one_replica, lambda_gadv=weight, lambda_sadv=0.25) for weight in (0.5, 0.5, 1.0)]
    found, _, doubled = (run(game, make_batch("csa"), measure_shares=i != 1)[0] for i, game in enumerate(games))
    for one, other in zip(weights_of(games[0].networks.generator), weights_of(games[1].networks.generator)):
        np.testing.assert_array_equal(one, other)
    norms = {name: value for name, value in found.items() if name.startswith("gradient_norm_")}
    roles = (
        "segmentation_loss_source",
        "segmentation_loss_labelled",
        "global_adversarial_loss",
        "csa_adversarial_loss",
    )
    assert set(norms) == {f"gradient_norm_{name}" for name in roles}
    ratios = {name.removeprefix("gradient_norm_"): doubled[name] / norms[name] for name in norms}
    assert ratios == pytest.approx({**dict.fromkeys(roles, 1), "global_adversarial_loss": 2}, rel=1e-5)

    game, images = make_game("csa", one_replica), make_batch("csa")["source"][0]
    with tf.GradientTape() as tape:
        logits = game.networks.generator(images, training=True)[1]
        logits = resize.upsample(logits, images.shape[1:3])
        loss = tf.reduce_mean(losses.segmentation_loss(logits, make_batch("csa")["source"][1]))
    gradient = tape.gradient(loss, raw(game.networks.generator.trainable_variables))
    expected = np.sqrt(sum(np.sum(np.square(g)) for g in gradient))
    assert norms["gradient_norm_segmentation_loss_source"] == pytest.approx(expected, rel=1e-3)


def statistics_of(network):
    return [w.numpy().copy() for w in network.non_trainable_weights if "moving" in w.name]


@pytest.mark.parametrize("method", ["joint", "csa"])
def test_running_statistics_may_be_the_targets_alone(method, one_replica):
    """They become what passes of the target alone make of them, and no weight is another for it."""
    batch = make_batch(method)
    start = statistics_of(make_game(method, one_replica).networks.generator)
    plain, of_target = (make_game(method, one_replica, target_statistics=t) for t in (False, True))
    for game in (plain, of_target):
        run(game, batch)
    expected = make_game(method, one_replica).networks.generator
    for role in ("labelled", "unlabelled"):
        if role in batch:
            expected(batch[role] if role == "unlabelled" else batch[role][0], training=True)
    found = statistics_of(of_target.networks.generator)
    assert len(found) == len(start) > 0
    for ours, theirs, both, before in zip(
        found, statistics_of(expected), statistics_of(plain.networks.generator), start
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
        assert (np.abs(both - theirs) > 1e-6).any()
        assert (ours != before).any()
    for ours, theirs in zip(weights_of(of_target.networks.generator), weights_of(plain.networks.generator)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_two_replicas_keep_the_statistics_and_measure_the_norms_of_one(one_replica, two_replicas):
    # Of equal images a replica's own gradient is that of the whole batch.
    batch = tf.nest.map_structure(lambda one: np.repeat(one, 2, axis=0), make_batch("joint", count=1))
    games = [make_game("joint", strategy, target_statistics=True) for strategy in (one_replica, two_replicas)]
    start = statistics_of(games[0].networks.generator)
    single, double = (run(game, batch, steps=2, measure_shares=True) for game in games)
    for one, two in zip(single, double):
        assert one == pytest.approx(two, rel=1e-3)
    for before, one, two in zip(start, *(statistics_of(game.networks.generator) for game in games)):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
        assert (one != before).any()


def test_the_unlabelled_image_moves_the_global_discriminator_only(one_replica):
    results = []
    for seed in (1, 2):
        game, batch = make_game("csa", one_replica), make_batch("csa")
        batch["unlabelled"] = make_batch("csa", seed=seed)["unlabelled"]
        run(game, batch)
        results.append(game.networks)
    first, second = results
    for a, b in zip(weights_of(first.generator), weights_of(second.generator)):
        np.testing.assert_array_equal(a, b)
    assert not changed(weights_of(first.semantic_discriminator), second.semantic_discriminator)
    assert changed(weights_of(first.global_discriminator), second.global_discriminator)


def test_the_other_direction_lets_the_unlabelled_image_move_g(one_replica):
    results = []
    for seed in (1, 2):
        game = make_game("csa", one_replica, direction="target_to_source", lambda_gadv=1.0)
        batch = make_batch("csa")
        batch["unlabelled"] = make_batch("csa", seed=seed)["unlabelled"]
        run(game, batch)
        results.append(game.networks)
    assert changed(weights_of(results[0].generator), results[1].generator)


@pytest.mark.parametrize(("weight", "network"), [("lambda_gd", 1), ("lambda_sd", 2)])
def test_a_discriminator_without_weight_stays_as_it_is(one_replica, weight, network):
    game = make_game("csa", one_replica, **{weight: 0.0})
    before = weights_of(game.networks[network])
    run(game, make_batch("csa"))
    assert not changed(before, game.networks[network])


def test_adversarial_terms_without_weight_leave_g_as_joint_training_does(one_replica):
    joint = make_game("joint", one_replica)
    csa = make_game("csa", one_replica, lambda_gadv=0.0, lambda_sadv=0.0)
    csa.networks.generator.set_weights(joint.networks.generator.get_weights())
    run(joint, make_batch("joint"))
    run(csa, make_batch("csa"))
    for a, b in zip(weights_of(joint.networks.generator), weights_of(csa.networks.generator)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["fcsa", "csa"])
def test_a_batch_without_valid_pixels_keeps_all_weights_finite(method, one_replica):
    game, batch = make_game(method, one_replica), make_batch(method)
    for role in ("source", "labelled"):
        batch[role] = batch[role][0], np.full_like(batch[role][1], IGNORE)
    terms = run(game, batch)[0]
    assert terms["segmentation_loss_source"] == terms[f"{method}_adversarial_loss"] == 0
    assert all(np.isfinite(w).all() for network in game.networks for w in weights_of(network))


def test_the_head_learns_at_ten_times_the_backbones_rate(one_replica):
    # One step from rest moves a weight by rate x 1.9 x (gradient + decay) with Nesterov momentum 0.9.
    moves = {}
    for multiplier in (1.0, 10.0):
        game = make_game("oracle", one_replica, optimiser={**RATES, "head_multiplier": multiplier})
        _, head = variables_of(game.networks.generator)
        before = head[0].numpy().copy()
        run(game, make_batch("oracle"))
        moves[multiplier] = head[0].numpy() - before
    np.testing.assert_allclose(moves[10.0], 10 * moves[1.0], rtol=1e-3, atol=1e-6)


def test_decay_reaches_kernels_and_head_biases(one_replica):
    # With no gradient from data (all ignored), one step shrinks each weight by rate x 1.9 x 5e-4 of itself.
    game, batch = make_game("oracle", one_replica, optimiser={**RATES, "weight_decay": 0.5}), make_batch("oracle")
    batch["labelled"] = batch["labelled"][0], np.full_like(batch["labelled"][1], IGNORE)
    backbone, head = variables_of(game.networks.generator)
    before = [v.numpy().copy() for v in backbone + head]
    run(game, batch)
    rates = [0.01] * len(backbone) + [0.1] * len(head)
    for rate, old, variable in zip(rates, before, backbone + head):
        np.testing.assert_allclose(variable.numpy(), old * (1 - rate * 1.9 * 0.5), rtol=1e-5, atol=1e-8)


def test_the_graph_optimiser_is_off_for_a_step_alone():
    options = tf.config.optimizer.get_experimental_options
    with graph_as_written():
        assert options()["disable_meta_optimizer"] == (not tf.config.list_physical_devices("GPU"))
    assert not options()["disable_meta_optimizer"]
