"""Games of small networks on random batches; shared by tests."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ass_tf.config import schema
from ass_tf.labels import IGNORE
from ass_tf.methods import adversary

CLASSES = 5
MODEL = {"backbone": "tiny", "output_stride": 8, "rates": (1, 2), "weights": None, "batch_norm": "batch"}
RATES = schema.Optimiser(lr=0.01, discriminator_lr=0.01).model_dump()


@pytest.fixture(autouse=True)
def eager(request):
    """Steps run eagerly, as tracing takes far longer than they do, except under two replicas."""
    tf.config.run_functions_eagerly("two_replicas" not in request.fixturenames)
    yield
    tf.config.run_functions_eagerly(False)


def make_game(method, strategy, loss_scale=None, optimiser=RATES, target_statistics=False, **lambdas):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        networks = adversary.build_networks(
            method, CLASSES, MODEL, strategy.num_replicas_in_sync > 1, global_width=4, semantic_width=8
        )
        optimisers = adversary.build_optimisers(networks, **optimiser)
        scale = adversary.LossScale(loss_scale) if loss_scale else None
    settings = {**schema.Losses().model_dump(), **lambdas}
    return adversary.Game(method, networks, optimisers, strategy, scale, target_statistics, **settings)


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
    return [{name: float(v) for name, v in game.step(next(batches), measure_shares).items()} for _ in range(steps)]


def weights_of(network):
    return [w.numpy().copy() if hasattr(w, "numpy") else np.array(w) for w in network.trainable_variables]


def changed(before, network):
    return any(np.any(b != a) for b, a in zip(before, weights_of(network)))
