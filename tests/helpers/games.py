"""Games of small networks on random batches; shared by tests."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ass_tf.config import schema
from ass_tf.config.methods import METHODS
from ass_tf.labels import IGNORE
from ass_tf.methods import objectives, optimisers
from ass_tf.methods.loss_scale import LossScale
from ass_tf.methods.step import TrainingStep
from ass_tf.models.generator import build_generator

CLASSES = 5
MODEL = schema.Model(backbone="tiny", rates=(1, 2), weights=None)
WIDTHS = schema.Discriminators(global_width=4, semantic_width=8)
RATES = {"lr": 0.01, "discriminator_lr": 0.01}


@pytest.fixture(autouse=True)
def eager(request):
    """Steps run eagerly, as tracing takes far longer than they do, except under two replicas."""
    tf.config.run_functions_eagerly("two_replicas" not in request.fixturenames)
    yield
    tf.config.run_functions_eagerly(False)


def assemble(method, generator, strategy, *, widths=WIDTHS, optimiser=None, losses=None, kind=TrainingStep, **more):
    """A training step around a generator; `optimiser` and `losses` are what differs from the defaults."""
    recipe = METHODS[method]
    losses = schema.Losses(**(losses or {}))
    networks = objectives.with_discriminators(generator, recipe, widths)
    movers = optimisers.build_optimisers(networks, schema.Optimiser(**(optimiser or {})))
    return kind(networks, movers, objectives.objectives_of(recipe, networks, losses), strategy, **more)


def make_game(method, strategy, loss_scale=None, optimiser=RATES, target_statistics=False, kind=TrainingStep, **losses):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return assemble(
            method,
            build_generator(CLASSES, MODEL, synchronised=strategy.num_replicas_in_sync > 1),
            strategy,
            optimiser=optimiser,
            losses=losses,
            kind=kind,
            loss_scale=LossScale(loss_scale) if loss_scale else None,
            target_statistics=target_statistics,
        )


def make_batch(method, count=2, seed=0, size=(48, 64)):
    rs = np.random.RandomState(seed)
    labels = rs.randint(0, CLASSES, (2, count, *size)).astype("i4")
    labels[rs.uniform(size=labels.shape) < 0.1] = IGNORE
    images = rs.uniform(0, 255, (3, count, *size, 3)).astype("f")
    batch = {"source": (images[0], labels[0]), "labelled": (images[1], labels[1]), "unlabelled": images[2]}
    roles = {"oracle": ["labelled"], "joint": ["source", "labelled"]}.get(method, list(batch))
    return {role: batch[role] for role in roles}


def run(game, batch, steps=1, measure_shares=False):
    """Steps on one batch, spread over the replicas as training does."""
    dataset = tf.data.Dataset.from_tensors(batch).repeat().unbatch()
    dataset = dataset.batch(len(next(iter(tf.nest.flatten(batch)))), drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = iter(game.strategy.experimental_distribute_dataset(dataset.with_options(options)))
    return [game.take(next(batches), measure_shares) for _ in range(steps)]


def weights_of(network):
    return [w.numpy().copy() if hasattr(w, "numpy") else np.array(w) for w in network.trainable_variables]


def changed(before, network):
    return any(np.any(b != a) for b, a in zip(before, weights_of(network)))
