"""Equations 9 to 11: the networks, their optimisers, and one distributed step of the min-max game.

Reading data, saving, and the loop around the step are left to others.

Source: Wang et al. 2020, arXiv 2004.00794, section 3.4; order within a step as in Tsai et al. 2018 (AdaptSegNet).
"""

import contextlib
from collections import namedtuple

import keras
import tensorflow as tf

from ass_tf.labels import SOURCE, TARGET
from ass_tf.methods import diagnosis, losses, optimisers
from ass_tf.models import deeplab, discriminators

# generator: keras.Model. global_discriminator, semantic_discriminator: keras.Model, or None where the method has none.
Networks = namedtuple("Networks", "generator global_discriminator semantic_discriminator")
# One each for G's backbone and head, and for the discriminators or None.
Optimisers = namedtuple("Optimisers", "backbone head global_discriminator semantic_discriminator")

ADVERSARIAL = ("ga", "fcsa", "csa")  # the methods with D_g
DEFAULT_LAMBDA_SADV = {"csa": 0.01, "fcsa": 0.04}  # the paper's best at 500 labels


def build_networks(method, num_classes, model, synchronised=False, *, global_width, semantic_width):
    """G, and the discriminators that `method` has.

    Args:
        method: "oracle", "joint", "ga", "fcsa" or "csa".
        num_classes: int, c.
        model: dict, the keywords of `deeplab.build_generator`.
        synchronised: bool, batch norm statistics over all replicas.
        global_width, semantic_width: int, channels of the discriminators' first layers.

    Returns:
        Networks.
    """
    generator = deeplab.build_generator(num_classes, synchronised=synchronised, **model)
    channels = generator.outputs[0].shape[-1]
    build_semantic = {
        "fcsa": discriminators.build_fcsa_discriminator,
        "csa": discriminators.build_csa_discriminator,
    }.get(method)
    return Networks(
        generator,
        discriminators.build_global_discriminator(num_classes, global_width) if method in ADVERSARIAL else None,
        build_semantic(num_classes, channels, semantic_width) if build_semantic else None,
    )


def build_optimisers(
    networks,
    *,
    generator,
    generator_options,
    discriminator,
    discriminator_options,
    lr,
    momentum,
    nesterov,
    weight_decay,
    backbone_multiplier,
    head_multiplier,
    discriminator_lr,
    beta_1,
    beta_2,
    epsilon,
    power,
    decay_steps,
):
    """One for each of G's two groups and for each discriminator, with polynomial decay; their variables exist at once.

    Args:
        networks: Networks.
        others: the settings of `schema.Optimiser`.

    Returns:
        Optimisers.

    Raises:
        ValueError: an optimiser that is not there or does not take its options.
    """

    def decayed(rate):
        return keras.optimizers.schedules.PolynomialDecay(rate, decay_steps, end_learning_rate=0.0, power=power)

    def of_group(variables, multiplier, name):
        rate = decayed(lr * multiplier)
        if generator != "SGD":
            return optimisers.build_named(generator, rate, variables, generator_options)
        optimiser = optimisers.SGD(rate, momentum, nesterov, weight_decay, name=f"sgd_{name}")
        optimiser.build(variables)
        return optimiser

    def of_discriminator(network, name):
        if network is None:
            return None
        rate = decayed(discriminator_lr)
        if discriminator != "Adam":
            return optimisers.build_named(discriminator, rate, network.trainable_variables, discriminator_options)
        optimiser = optimisers.Adam(rate, beta_1, beta_2, epsilon, name=f"adam_{name}")
        optimiser.build(network.trainable_variables)
        return optimiser

    backbone, head = deeplab.variables_of(networks.generator)
    return Optimisers(
        of_group(backbone, backbone_multiplier, "backbone"),
        of_group(head, head_multiplier, "head"),
        of_discriminator(networks.global_discriminator, "global"),
        of_discriminator(networks.semantic_discriminator, "semantic"),
    )


class LossScale:
    """Dynamic scaling for float16: halved when gradients overflow, doubled after 2000 steps without.

    Attributes:
        scale, good_steps: tf.Variable, part of every checkpoint.
    """

    def __init__(self, initial=2.0**15, grow_after=2000):
        self.scale = tf.Variable(initial, trainable=False, name="loss_scale")
        self.good_steps = tf.Variable(0, trainable=False, name="good_steps")
        self.grow_after = grow_after

    def update(self, finite):
        """Takes note of one step: finite bool ()."""
        grown = tf.where(self.good_steps + 1 >= self.grow_after, 2.0 * self.scale, self.scale)
        self.scale.assign(tf.where(finite, grown, tf.maximum(self.scale / 2.0, 1.0)))
        self.good_steps.assign(tf.where(finite & (self.good_steps + 1 < self.grow_after), self.good_steps + 1, 0))


class Game:
    """The min-max game of equation 11: its networks, optimisers and step.

    Args:
        method: "oracle", "joint", "ga", "fcsa" or "csa": which terms take part.
        networks, optimisers: as the builders here return them, built under `strategy`.
        strategy: tf.distribute.Strategy.
        loss_scale: LossScale or None.
        target_statistics: bool. G's running statistics of batch norm are the target's alone.
        lambda_seg, lambda_gadv, lambda_sadv, lambda_gd, lambda_sd: weights; lambda_sadv None: the method's.
        direction: "source_to_target" (the paper), or "target_to_source" (AdaptSegNet).
    """

    def __init__(
        self,
        method,
        networks,
        optimisers,
        strategy,
        loss_scale=None,
        target_statistics=False,
        *,
        lambda_seg,
        lambda_gadv,
        lambda_sadv,
        lambda_gd,
        lambda_sd,
        direction,
    ):
        self.networks, self.optimisers, self.strategy, self.loss_scale = networks, optimisers, strategy, loss_scale
        self.method, self.target_statistics = method, target_statistics
        self.lambda_seg, self.lambda_gadv = lambda_seg, lambda_gadv
        self.lambda_sadv = DEFAULT_LAMBDA_SADV.get(method, 0.0) if lambda_sadv is None else lambda_sadv
        self.lambda_gd, self.lambda_sd = lambda_gd, lambda_sd
        self.moves_source = direction == "source_to_target"
        backbone, head = deeplab.variables_of(networks.generator)
        self.variables = Optimisers(backbone, head, *(n.trainable_variables if n else [] for n in networks[1:]))

    @tf.function(autograph=False)
    def step(self, batch, measure_shares=False):
        """One alternating step on every replica.

        Args:
            batch: dict with those of "source" and "labelled": (images, labels), "unlabelled": images, that the method
                uses; values per replica, as `strategy.experimental_distribute_dataset` gives them.
            measure_shares: bool. Also measure how much each term moves G, which takes a backward pass for each.

        Returns:
            terms: dict of float32 (): the losses of equations 1 to 8 before their weights, by the names of their
                functions with the domain appended where both domains have one; the discriminators' accuracies likewise;
                and if asked for, `gradient_norm_<loss>`, 2-norm of the gradient of G's weights that the weighted loss
                makes, the mean over the replicas' own. A norm is not finite in a step whose gradients overflow, which
                the loss scale then skips; the other terms are those before it.
        """
        terms, gradients = self.strategy.run(self._gradients, (batch, measure_shares))
        if self.loss_scale is None:
            self.strategy.run(self._update, (gradients,))
        else:
            finite = self.strategy.reduce("SUM", self.strategy.run(_count_overflows, (gradients,)), axis=None) == 0
            tf.cond(finite, lambda: self.strategy.run(self._update, (gradients,)), lambda: None)
            self.loss_scale.update(finite)
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in terms.items()}

    def _gradients(self, batch, measure_shares):
        """The terms and the gradients of all networks, from one forward pass of G per domain."""
        scale = 1.0 if self.loss_scale is None else self.loss_scale.scale
        with tf.GradientTape(persistent=True) as tape:
            passes = self._forward(batch, tape)
            terms, moving, discrimination = self._objectives(batch, passes)
            moving = {name: scale * weighted for name, weighted in moving.items()}
            generator_objective, discriminator_objective = tf.add_n(list(moving.values())), scale * discrimination
        # Who learns from an objective is chosen here: G's does not reach the discriminators' variables, nor theirs G's.
        of_generator = tape.gradient(generator_objective, [_raw(self.variables.backbone), _raw(self.variables.head)])
        of_discriminators = tape.gradient(
            discriminator_objective,
            [_raw(self.variables.global_discriminator), _raw(self.variables.semantic_discriminator)],
        )
        gradients = [*of_generator, *of_discriminators]
        if self.loss_scale is not None:
            gradients = tf.nest.map_structure(lambda g: g / scale, gradients)
        if measure_shares:
            weights = [*_raw(self.variables.backbone), *_raw(self.variables.head)]
            for name, weighted in moving.items():
                norm = tf.linalg.global_norm(tape.gradient(weighted, weights))  # skips what the term does not reach
                terms[f"gradient_norm_{name}"] = norm / scale / self.strategy.num_replicas_in_sync
        return terms, gradients

    def _forward(self, batch, tape):
        """G's one pass per domain, in AdaptSegNet's order, which the running statistics see.

        Returns:
            dict: role -> (features, logits upsampled to the images' size).
        """
        passes = {}
        for role in ("source", "labelled", "unlabelled"):
            if role in batch:
                images = batch[role] if role == "unlabelled" else batch[role][0]
                with contextlib.ExitStack() as stack:
                    if role == "unlabelled" and self.moves_source:
                        stack.enter_context(tape.stop_recording())  # G learns nothing from I_tu: no backward pass
                    if role == "source" and self.target_statistics:
                        stack.enter_context(deeplab.momentum_set(self.networks.generator, 1.0))
                    features, logits = self.networks.generator(images, training=True)
                    passes[role] = features, deeplab.upsample(logits, tf.shape(images)[1:3])
        return passes

    def _objectives(self, batch, passes):
        """Equations 9 and 10.

        Returns:
            terms: dict of float32 (), this replica's share of each loss and accuracy.
            moving: dict of float32 (), the weighted losses whose sum G lowers.
            discrimination: float32 (), what the discriminators lower.
        """
        terms, moving = {}, {}

        def term(name, per_image):
            """Mean over the global batch: gradients and terms are summed over replicas, so the division is here."""
            count = per_image.shape[0] * self.strategy.num_replicas_in_sync
            terms[name] = tf.reduce_sum(per_image) / count
            return terms[name]

        def move(name, weight, per_image):
            moving[name] = weight * term(name, per_image)

        discrimination = tf.zeros([])
        for role in ("source", "labelled"):
            if role in passes:
                loss = losses.segmentation_loss(passes[role][1], batch[role][1])
                move(f"segmentation_loss_{role}", self.lambda_seg, loss)
        if self.networks.global_discriminator is not None:
            scores = {
                role: self.networks.global_discriminator(tf.nn.softmax(passes[role][1]), training=True)
                for role in ("source", "unlabelled")
            }
            moved, aim = ("source", TARGET) if self.moves_source else ("unlabelled", SOURCE)
            move("global_adversarial_loss", self.lambda_gadv, losses.global_adversarial_loss(scores[moved], aim))
            for role, domain in (("source", SOURCE), ("unlabelled", TARGET)):
                loss = losses.global_discriminator_loss(scores[role], domain)
                discrimination += self.lambda_gd * 0.5 * term(f"global_discriminator_loss_{role}", loss)
                term(f"global_discriminator_accuracy_{role}", diagnosis.global_accuracy(scores[role], domain))
        if self.networks.semantic_discriminator is not None:
            semantic = {role: self._semantic(passes[role][0], batch[role][1]) for role in ("source", "labelled")}
            name, adversarial_loss, discriminator_loss = {
                "fcsa": ("fcsa", losses.fcsa_adversarial_loss, losses.fcsa_discriminator_loss),
                "csa": ("csa", losses.csa_adversarial_loss, losses.csa_discriminator_loss),
            }[self.method]
            moved, aim = ("source", TARGET) if self.moves_source else ("labelled", SOURCE)
            move(f"{name}_adversarial_loss", self.lambda_sadv, adversarial_loss(*semantic[moved], aim))
            for role, domain in (("source", SOURCE), ("labelled", TARGET)):
                loss = discriminator_loss(*semantic[role], domain)
                discrimination += self.lambda_sd * 0.5 * term(f"{name}_discriminator_loss_{role}", loss)
                term(f"{name}_discriminator_accuracy_{role}", diagnosis.semantic_accuracy(*semantic[role], domain))
        return terms, moving, discrimination

    def _semantic(self, features, labels):
        """D_s on class vectors or on the feature map, with what tells its loss where classes are."""
        labels = deeplab.downsample_labels(labels, tf.shape(features)[1:3])
        if self.method == "csa":
            return self.networks.semantic_discriminator(features, training=True), labels
        num_classes = self.networks.generator.outputs[1].shape[-1]
        means, present = losses.class_means(features, labels, num_classes)
        return self.networks.semantic_discriminator(means, training=True), present

    def _update(self, gradients):
        """One step of every optimiser; Keras sums the gradients over replicas."""
        for optimiser, gradient, variables in zip(self.optimisers, gradients, self.variables):
            if optimiser is not None:
                optimiser.apply_gradients(list(zip(gradient, variables)))


def _raw(variables):
    """tf.Variables of Keras 3's variables, whose gradients the tape knows; Keras 2's are such."""
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


def _count_overflows(gradients):
    finite = [tf.reduce_all(tf.math.is_finite(g)) for g in tf.nest.flatten(gradients)]
    return tf.cast(tf.logical_not(tf.reduce_all(finite)), tf.int32)
