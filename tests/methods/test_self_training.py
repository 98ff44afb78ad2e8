"""The teacher: how it follows G, what it labels, what G learns of it."""

import games
import keras
import numpy as np
import pytest
import tensorflow as tf
from games import CLASSES, MODEL, eager, make_batch, run, weights_of  # noqa: F401 (a fixture)

from ass_tf.config import schema
from ass_tf.labels import IGNORE
from ass_tf.methods.objectives import Pass
from ass_tf.methods.self_training import SelfTraining, Teacher
from ass_tf.models.batch_norm import norms_of
from ass_tf.models.generator import build_generator

NOW = {"weight": 1.0, "start": 0}


def make(strategy, method="joint", clip_norm=None, **settings):
    """A game with self-training, and its teacher."""
    keras.utils.set_random_seed(0)
    settings, losses = schema.SelfTraining(**{**NOW, **settings}), schema.Losses()
    with strategy.scope():
        networks = [build_generator(CLASSES, MODEL, synchronised=strategy.num_replicas_in_sync > 1) for _ in range(2)]
        teacher = Teacher(networks[1], networks[0], settings)
        objective = SelfTraining(teacher, settings, losses, None, seed=3)
        game = games.assemble(
            method, networks[0], strategy, optimiser=games.RATES, self_training=objective, clip_norm=clip_norm
        )
    return game, teacher


def batch_for(method="joint", count=2, **words):
    return {**make_batch(method, count, **words), "unlabelled": make_batch("csa", count)["unlabelled"]}


def values(network):
    return [weight.numpy().copy() for weight in network.weights]


def statistics(network):
    return [v.numpy().copy() for norm in norms_of(network) for v in norm.non_trainable_weights]


def test_it_begins_as_g_and_then_is_the_moving_average_of_it(one_replica):
    game, teacher = make(one_replica, start=100, momentum=0.75)
    student = game.networks.generator
    for one, other in zip(values(teacher.network), values(student)):
        np.testing.assert_array_equal(one, other)
    expected = values(teacher.network)
    for step in range(6):
        terms = run(game, batch_for())[0]
        kept = min(1 - 1 / (step + 1), 0.75)
        expected = [kept * mine + (1 - kept) * new for mine, new in zip(expected, values(student))]
    assert "self_training_loss" not in terms
    assert teacher.steps.numpy() == 6
    for found, wanted in zip(values(teacher.network), expected):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_once_it_teaches_its_statistics_are_those_of_its_own_passes(one_replica):
    game, teacher = make(one_replica)
    batch = batch_for()
    before = statistics(teacher.network)
    twin = build_generator(CLASSES, MODEL)
    twin.set_weights(teacher.network.get_weights())
    twin(batch["unlabelled"], training=True)  # its momentum is 0.9, too
    terms = run(game, batch)[0]
    assert set(terms) == {"segmentation_loss_source", "segmentation_loss_labelled", "self_training_loss"}
    for found, wanted, old in zip(statistics(teacher.network), statistics(twin), before):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
        assert (found != old).any()


def test_it_labels_what_it_is_sure_of(one_replica):
    _, teacher = make(one_replica)
    images = batch_for()["unlabelled"]
    labels, probability = (value.numpy() for value in teacher.label(images))
    assert labels.shape == probability.shape == images.shape[:3]
    assert ((labels >= 0) & (labels < CLASSES)).all()
    bound = float(np.median(probability))
    _, picky = make(one_replica, threshold=bound)
    some = picky.label(images)[0].numpy()
    np.testing.assert_array_equal(some, np.where(probability >= np.float32(bound), labels, IGNORE))


def test_g_sees_photographs_with_pasted_classes_and_learns_their_true_labels(one_replica):
    plain = {"colour": 0.0, "grey": 0.0, "blur": 0.0, "cut_mix": 0.0}
    game, teacher = make(one_replica, **plain)
    batch = {role: value for role, value in batch_for().items() if role != "labelled"}
    pseudo = teacher.label(batch["unlabelled"])[0].numpy()
    (images, labels), _ = game.self_training.mix({k: tf.nest.map_structure(tf.constant, v) for k, v in batch.items()})
    pasted = (images.numpy() == batch["source"][0]).all(axis=-1)
    assert 0.2 < pasted.mean() < 0.8
    np.testing.assert_array_equal(np.where(pasted, batch["source"][1], pseudo), labels)
    np.testing.assert_array_equal(images.numpy()[~pasted], batch["unlabelled"][~pasted])


def test_sureness_follows_the_pixels_that_each_class_is_given(one_replica):
    game, teacher = make(one_replica)
    batch = batch_for()
    labels, probability = (value.numpy() for value in teacher.label(batch["unlabelled"]))
    teacher.network.set_weights(game.networks.generator.get_weights())  # the pass above has moved its statistics
    run(game, batch)
    for index, found in enumerate(teacher.sureness.numpy()):
        member = labels == index
        wanted = 0.01 * probability[member].mean() if member.any() else 0.0
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-7)


def test_its_weight_grows_in_the_warm_up(one_replica):
    game, teacher = make(one_replica, start=2, warmup=4, weight=0.5)
    passes = {"mixed": Pass(None, tf.zeros((1, 4, 4, CLASSES)), tf.zeros((1, 4, 4), tf.int32))}
    found = []
    for step in (2, 3, 5, 9):
        teacher.steps.assign(step)
        found.append(float(game.self_training.terms(passes)[0].weight))
    assert found == pytest.approx([0.125, 0.25, 0.5, 0.5])


@pytest.mark.parametrize("method", [pytest.param("oracle", marks=pytest.mark.slow), "csa"])
def test_any_method_takes_it(method, one_replica):
    game, _ = make(one_replica, method=method)
    before = weights_of(game.networks.generator)
    terms = run(game, batch_for(method))[0]
    assert np.isfinite(list(terms.values())).all()
    assert terms["self_training_loss"] > 0
    assert games.changed(before, game.networks.generator)


@pytest.mark.slow
def test_without_labelled_photographs_and_without_a_source(one_replica):
    for role in ("source", "labelled"):
        game, _ = make(one_replica)
        batch = {key: value for key, value in batch_for().items() if key != role}
        terms = run(game, batch)[0]
        assert len(terms) == 2
        assert terms["self_training_loss"] > 0


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one(one_replica, two_replicas):
    made = [make(strategy, method="csa", clip_norm=0.5) for strategy in (one_replica, two_replicas)]
    batch = batch_for("csa", count=4)
    single, double = (run(game, batch, steps=3) for game, _ in made)
    for one, two in zip(single, double):
        assert one == pytest.approx(two, rel=1e-3)
    for networks in zip(*((game.networks.generator, teacher.network) for game, teacher in made)):
        for a, b in zip(*(network.weights for network in networks)):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=5e-3, atol=5e-4)


def test_gradients_are_clipped_to_their_norm(one_replica):
    """At rest, SGD with Nesterov momentum moves by rate x 1.9 x gradient."""
    moves = []
    for clip in (None, 1e-3):
        game, _ = make(one_replica, start=9, clip_norm=clip)
        game.optimisers.backbone.l2 = game.optimisers.head.l2 = 0.0
        before = weights_of(game.networks.generator)
        run(game, batch_for())
        moves.append([new - old for new, old in zip(weights_of(game.networks.generator), before)])
    rates = [0.1 if index >= len(moves[0]) - 4 else 0.01 for index in range(len(moves[0]))]  # the head is last
    norm = np.sqrt(sum(np.sum(np.square(move / rate / 1.9)) for move, rate in zip(moves[1], rates)))
    assert norm == pytest.approx(1e-3, rel=1e-2)
    largest = max(range(len(moves[0])), key=lambda index: np.abs(moves[0][index]).max())
    ratio = moves[0][largest] / np.where(moves[1][largest] == 0, 1, moves[1][largest])
    assert np.std(ratio[np.abs(moves[0][largest]) > 1e-4]) < 0.05 * abs(np.mean(ratio))
