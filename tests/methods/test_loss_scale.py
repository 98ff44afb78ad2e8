"""Steps in float16: what overflows is skipped, on all devices alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from games import changed, make_batch, make_game, run, weights_of
from games import eager as eager  # a fixture

from ass_tf.methods.loss_scale import LossScale
from ass_tf.methods.optimisers import raw
from ass_tf.methods.step import TrainingStep


def test_float16_overflow_skips_the_step(one_replica):
    game = make_game("csa", one_replica, loss_scale=float("inf"))
    before = weights_of(game.networks.generator)
    run(game, make_batch("csa"))
    assert not changed(before, game.networks.generator)
    game.loss_scale.scale.assign(1024.0)
    run(game, make_batch("csa"))
    assert changed(before, game.networks.generator)


class OverflowingGame(TrainingStep):
    """A game whose gradients are infinite on chosen replicas."""

    def _gradients(self, *given):
        terms, gradients = super()._gradients(*given)
        here = self.overflows[tf.distribute.get_replica_context().replica_id_in_sync_group]
        return terms, [[tf.where(here, np.inf, gradient) for gradient in group] for group in gradients]


@pytest.mark.slow
def test_an_overflow_on_any_of_two_replicas_skips_the_step_on_both(two_replicas):
    game = make_game("csa", two_replicas, loss_scale=1024.0, kind=OverflowingGame)
    batch = make_batch("csa", count=4)
    game.overflows = tf.Variable([False, False])
    learning = [v for group in game.variables for v in group]
    for optimiser in game.optimisers:
        learning += optimiser.variables() if callable(optimiser.variables) else optimiser.variables

    def values():
        """On both replicas."""
        held = raw(learning)
        return [part.numpy() for v in held for part in two_replicas.experimental_local_results(v)]

    start, scale = values(), 1024.0
    for overflows in ([True, True], [True, False], [False, True]):
        game.overflows.assign(overflows)
        run(game, batch)
        scale /= 2
        assert all(np.array_equal(before, now) for before, now in zip(start, values()))
        assert (float(game.loss_scale.scale.numpy()), int(game.loss_scale.good_steps.numpy())) == (scale, 0)
    game.overflows.assign([False, False])
    run(game, batch)
    assert all((before != now).any() for before, now in zip(start, values()))
    assert (float(game.loss_scale.scale.numpy()), int(game.loss_scale.good_steps.numpy())) == (scale, 1)


def test_of_a_skipped_step_only_the_measured_norms_are_not_finite(one_replica):
    game = make_game("csa", one_replica, loss_scale=float("inf"))
    terms = run(game, make_batch("csa"), measure_shares=True)[0]
    assert {name for name, value in terms.items() if not np.isfinite(value)} == {
        name for name in terms if name.startswith("gradient_norm_")
    }


def test_loss_scale_halves_on_overflow_and_doubles_after_enough_good_steps():
    scale = LossScale(1024.0, grow_after=2)
    seen = []
    for finite in (False, True, True, True, False):
        scale.update(tf.constant(finite))
        seen.append(float(scale.scale.numpy()))
    assert seen == [512, 512, 1024, 1024, 512]


@pytest.mark.parametrize(
    "precision", [pytest.param(p, marks=pytest.mark.slow) for p in ("mixed_bfloat16", "mixed_float16")]
)
def test_mixed_precision_takes_nearly_the_step_of_float32(precision, one_replica):
    exact = run(make_game("csa", one_replica), make_batch("csa"))[0]
    keras.mixed_precision.set_global_policy(precision)
    try:
        game = make_game("csa", one_replica, loss_scale=1024.0 if precision == "mixed_float16" else None)
        mixed = run(game, make_batch("csa"), steps=2)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert mixed[0] == pytest.approx(exact, rel=0.05)
    assert all(v.dtype in (tf.float32, "float32") for v in game.networks.generator.trainable_variables)
    assert mixed[1] != mixed[0]
