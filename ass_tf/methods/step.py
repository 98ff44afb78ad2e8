"""Equation 11: one distributed step, in which G and the discriminators learn from the terms of the objectives.

Source: Wang et al. 2020, arXiv 2004.00794, section 3.4; order within a step as in Tsai et al. 2018 (AdaptSegNet).
"""

import contextlib

import tensorflow as tf

from ass_tf.methods import NORM
from ass_tf.methods.objectives import DISCRIMINATORS, GENERATOR, Pass
from ass_tf.methods.optimisers import Optimisers, raw
from ass_tf.models import batch_norm, resize
from ass_tf.models.generator import variables_of

ROLES = ("source", "labelled", "unlabelled", "mixed")  # in the order of G's passes, which the running statistics see


class TrainingStep:
    """Networks, optimisers, and the step that moves them.

    Args:
        networks, optimisers: as `with_discriminators` and `build_optimisers` return them, built under `strategy`.
        objectives: as `objectives_of` returns them.
        strategy: tf.distribute.Strategy.
        loss_scale: LossScale or None.
        target_statistics: bool. G's running statistics of batch norm are the target's alone.
        self_training: SelfTraining or None, one more objective.
        clip_norm: float or None, the largest 2-norm of G's gradient.
    """

    def __init__(
        self,
        networks,
        optimisers,
        objectives,
        strategy,
        *,
        loss_scale=None,
        target_statistics=False,
        self_training=None,
        clip_norm=None,
    ):
        self.networks, self.optimisers, self.strategy = networks, optimisers, strategy
        self.loss_scale, self.target_statistics = loss_scale, target_statistics
        self.self_training, self.clip_norm = self_training, clip_norm
        self.objectives = [*objectives, *([self_training] if self_training else [])]
        self._names = {}  # of the terms: (measure_shares, teaches) -> list
        self.stopping = False
        self.reads = {role for objective in self.objectives for role in objective.reads}
        self.moves_generator = {role for objective in self.objectives for role in objective.moves}
        backbone, head = variables_of(networks.generator)
        self.variables = Optimisers(backbone, head, *(n.trainable_variables if n else [] for n in networks[1:]))

    def take(self, batch, measure_shares=False, stop=False):
        """One alternating step on every replica.

        `stopping` says afterwards whether `stop` was true on any worker.

        Args:
            batch: dict with those of "source" and "labelled": (images, labels), "unlabelled": images, that the method
                uses; values per replica, as `strategy.experimental_distribute_dataset` gives them.
            measure_shares: bool. Also measure how much each term moves G, which takes a backward pass for each.
            stop: bool. Whether this worker was asked to stop.

        Returns:
            terms: dict of float: the losses of equations 1 to 8 before their weights, by the names of their
                functions with the domain appended where both domains have one; the discriminators' accuracies likewise;
                and if asked for, `gradient_norm_<loss>`, 2-norm of the gradient of G's weights that the weighted loss
                makes, the mean over the replicas' own. A norm is not finite in a step whose gradients overflow, which
                the loss scale then skips; the other terms are those before it.
        """
        variant = bool(measure_shares), self.self_training is not None and self.self_training.teacher.is_active()
        with graph_as_written():
            *values, stops = self._take(batch, *variant, tf.constant(float(stop))).numpy().tolist()
        self.stopping = stops > 0
        return dict(zip(self._names[variant], values))

    @tf.function(autograph=False)
    def _take(self, batch, measure_shares, teaches, stop):
        """The same, the terms and `stop` as one vector; their names are noted when the graph is made."""
        mixed, sureness = self.strategy.run(self.self_training.mix, (batch,)) if teaches else ((), ())
        if teaches:
            batch = {**batch, "mixed": mixed}
        terms, gradients = self.strategy.run(self._gradients, (batch, measure_shares, teaches, stop))
        if self.loss_scale is None:
            self.strategy.run(self._update, (gradients,))
        else:
            finite = self.strategy.reduce("SUM", self.strategy.run(_count_overflows, (gradients,)), axis=None) == 0
            tf.cond(finite, lambda: self.strategy.run(self._update, (gradients,)), lambda: None)
            self.loss_scale.update(finite)
        if self.self_training is not None:
            self.strategy.run(self.self_training.teacher.follow, (sureness if teaches else None,))
        return self.strategy.reduce("SUM", terms, axis=None)

    def _gradients(self, batch, measure_shares, teaches, stop):
        """The terms and `stop` as a vector, and the gradients of all networks; one forward pass of G per domain."""
        scale = 1.0 if self.loss_scale is None else self.loss_scale.scale
        weights = [raw(variables) for variables in self.variables]
        # Who learns from a sum is chosen here: G's does not reach the discriminators' variables, nor theirs G's.
        with tf.GradientTape(persistent=measure_shares, watch_accessed_variables=False) as tape:
            tape.watch(weights[:2])
            passes = self._forward(batch, tape)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(weights[2:])
                terms = [term for objective in self.objectives for term in objective.terms(passes)]
                values = {term.name: self._mean(term.per_image) for term in terms}
                lowered = {
                    who: {t.name: t.weight * values[t.name] for t in terms if t.trains == who}
                    for who in (GENERATOR, DISCRIMINATORS)
                }
                moving = {name: scale * weighted for name, weighted in lowered[GENERATOR].items()}
                sums = tf.add_n(list(moving.values())), scale * sum(lowered[DISCRIMINATORS].values(), tf.zeros([]))
        gradients = [*tape.gradient(sums[0], weights[:2]), *inner.gradient(sums[1], weights[2:])]
        if self.loss_scale is not None:
            gradients = tf.nest.map_structure(lambda g: g / scale, gradients)
        if self.clip_norm is not None:
            gradients[:2] = self._clipped(gradients[:2])
        if measure_shares:
            for name, weighted in moving.items():
                gradient = tape.gradient(weighted, [*weights[0], *weights[1]])  # None where the term does not reach
                values[NORM + name] = tf.linalg.global_norm(gradient) / scale
        self._names[measure_shares, teaches] = list(values)
        return tf.stack([*values.values(), stop]), gradients

    @property
    def _replicas(self):
        return self.strategy.num_replicas_in_sync

    def _forward(self, batch, tape):
        """G's one pass per domain: dict of role -> Pass, logits upsampled to the images' size."""
        passes = {}
        with batch_norm.moved_together():
            for role in ROLES:
                if role not in batch or role not in self.reads:
                    continue
                images, labels = (batch[role], None) if role == "unlabelled" else batch[role]
                with contextlib.ExitStack() as stack:
                    if role not in self.moves_generator:
                        stack.enter_context(tape.stop_recording())  # no backward pass
                    if role == "source" and self.target_statistics:
                        stack.enter_context(batch_norm.momentum_set(self.networks.generator, 1.0))
                    features, logits = self.networks.generator(images, training=True)
                    passes[role] = Pass(features, resize.upsample(logits, tf.shape(images)[1:3]), labels)
        return passes

    def _clipped(self, groups):
        """G's gradients, scaled down where the 2-norm of their sum over the replicas is too large."""
        total = tf.nest.flatten(groups)
        if self._replicas > 1:
            total = tf.distribute.get_replica_context().all_reduce("SUM", total)
        factor = self.clip_norm / tf.maximum(tf.linalg.global_norm(total), self.clip_norm)
        return tf.nest.map_structure(lambda g: g * factor, groups)

    def _mean(self, per_image):
        """Mean over the global batch: gradients and terms are summed over replicas, so the division is here."""
        return tf.reduce_sum(per_image) / (per_image.shape[0] * self._replicas)

    def _update(self, gradients):
        """One step of every optimiser; Keras sums the gradients over replicas."""
        for optimiser, gradient, variables in zip(self.optimisers, gradients, self.variables):
            if optimiser is not None:
                optimiser.apply_gradients(list(zip(gradient, variables)))


def _count_overflows(gradients):
    finite = [tf.reduce_all(tf.math.is_finite(g)) for g in tf.nest.flatten(gradients)]
    return tf.cast(tf.logical_not(tf.reduce_all(finite)), tf.int32)


@contextlib.contextmanager
def graph_as_written():
    """TensorFlow's optimiser of graphs is off within, on CPUs.

    It took seconds before the first step, and no step became shorter by it. On GPUs it also chooses the layout of
    images in memory, so there it stays on.
    """
    key = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(key, False)
    tf.config.optimizer.set_experimental_options({key: before or not tf.config.list_logical_devices("GPU")})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({key: before})
