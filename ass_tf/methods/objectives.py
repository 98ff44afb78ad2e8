"""What a step lowers: the terms of equations 9 and 10, each from one class.

An objective makes terms from the passes of G. The training step sums them, so that a new objective needs nothing else;
an adversary, which brings a network of its own, is also a row of ADVERSARIES.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from ass_tf.labels import SOURCE, TARGET
from ass_tf.methods import ACCURACY, accuracy, losses
from ass_tf.models import discriminators, resize

GENERATOR, DISCRIMINATORS = "generator", "discriminators"  # who lowers a term


class Pass(NamedTuple):
    """One domain's images through G: features (b, u, v, d), logits (b, h, w, c), labels int32 (b, h, w) or None."""

    features: Any
    logits: Any
    labels: Any = None


class Term(NamedTuple):
    """A quantity of a step.

    Attributes:
        name: in log.jsonl.
        per_image: float32 (b,).
        trains: GENERATOR or DISCRIMINATORS, whose sum it joins; None: it is only logged.
        weight: its factor in that sum.
    """

    name: str
    per_image: Any
    trains: str | None = None
    weight: float = 0.0


def segmentation(seen, settings, class_weights):
    """The segmentation loss of a Pass with labels, as schema.Losses has it: float32 (b,)."""
    return losses.segmentation_loss(seen.logits, seen.labels, class_weights, settings.hard_pixels)


class Segmentation:
    """Equation 1 on the domains that have labels.

    Args:
        settings: schema.Losses.
        class_weights: floats (c,) or None.

    Attributes:
        reads: roles whose passes it needs, of those that there are.
        moves: of these the roles whose passes G learns from.
    """

    reads = moves = ("source", "labelled")

    def __init__(self, settings, class_weights=None):
        self.settings, self.class_weights = settings, class_weights

    def terms(self, passes):
        """Terms of a step: dict of role -> Pass -> list of Term."""
        return [
            Term(
                f"segmentation_loss_{role}",
                segmentation(passes[role], self.settings, self.class_weights),
                GENERATOR,
                self.settings.lambda_seg,
            )
            for role in self.moves
            if role in passes
        ]


class _Adversary:
    """Two domains seen by a discriminator D: G moves one towards the other (eq. 9), D keeps them apart (eq. 10).

    Args:
        networks: Networks.
        settings: schema.Losses.
        default_weight: of the loss that moves G, where the settings have none.
    """

    slot: str  # of Networks
    prefix: str  # of the terms' names
    roles: tuple[str, str]  # of the source and of the target

    def __init__(self, networks, settings, default_weight):
        self.discriminator = getattr(networks, self.slot)
        to_target = settings.direction == "source_to_target"
        self.moved, self.aim = (self.roles[0], TARGET) if to_target else (self.roles[1], SOURCE)
        self.reads, self.moves = self.roles, (self.moved,)
        self.weight, self.weight_of_discriminator = self.weights_of(settings, default_weight)

    def terms(self, passes):
        """Terms of a step: dict of role -> Pass -> list of Term."""
        seen = {role: self.look(passes[role]) for role in self.roles}
        loss = self.adversarial_loss(*seen[self.moved], self.aim)
        terms = [Term(f"{self.prefix}_adversarial_loss", loss, GENERATOR, self.weight)]
        for role, domain in zip(self.roles, (SOURCE, TARGET)):
            loss = self.discriminator_loss(*seen[role], domain)
            name = f"{self.prefix}_discriminator_loss_{role}"
            terms.append(Term(name, loss, DISCRIMINATORS, self.weight_of_discriminator * 0.5))
            terms.append(Term(f"{self.prefix}_discriminator{ACCURACY}{role}", self.accuracy(*seen[role], domain)))
        return terms


class GlobalAdversary(_Adversary):
    """D_g on class probabilities (eq. 2 and 3)."""

    slot, prefix, roles = "global_discriminator", "global", ("source", "unlabelled")
    adversarial_loss = staticmethod(losses.global_adversarial_loss)
    discriminator_loss = staticmethod(losses.global_discriminator_loss)
    accuracy = staticmethod(accuracy.global_accuracy)

    @staticmethod
    def build(num_classes, channels, widths):
        """The discriminator: c and d of G, schema.Discriminators -> keras.Model."""
        return discriminators.build_global_discriminator(num_classes, widths.global_width)

    @staticmethod
    def weights_of(settings, default):
        return settings.lambda_gadv, settings.lambda_gd

    def look(self, of_role):
        """D_g's logits, as the arguments of its losses."""
        return (self.discriminator(tf.nn.softmax(of_role.logits), training=True),)


class _SemanticAdversary(_Adversary):
    """D_s, which is also asked for the class of what it sees."""

    slot, roles = "semantic_discriminator", ("source", "labelled")
    accuracy = staticmethod(accuracy.semantic_accuracy)

    @classmethod
    def build(cls, num_classes, channels, widths):
        """The discriminator: c and d of G, schema.Discriminators -> keras.Model."""
        return cls.build_network(num_classes, channels, widths.semantic_width)

    @staticmethod
    def weights_of(settings, default):
        return default if settings.lambda_sadv is None else settings.lambda_sadv, settings.lambda_sd

    def look(self, of_role):
        """D_s' logits, and what says where which class is."""
        labels = resize.downsample_labels(of_role.labels, tf.shape(of_role.features)[1:3])
        seen, classes = self.view(of_role.features, labels, of_role.logits.shape[-1])
        return self.discriminator(seen, training=True), classes


class FcsaAdversary(_SemanticAdversary):
    """D_s on class vectors (eq. 4 to 6), with the classes that are present."""

    prefix = "fcsa"
    build_network = staticmethod(discriminators.build_fcsa_discriminator)
    view = staticmethod(losses.class_means)
    adversarial_loss = staticmethod(losses.fcsa_adversarial_loss)
    discriminator_loss = staticmethod(losses.fcsa_discriminator_loss)


class CsaAdversary(_SemanticAdversary):
    """D_s on the feature map (eq. 7 and 8), with the labels of its cells."""

    prefix = "csa"
    build_network = staticmethod(discriminators.build_csa_discriminator)
    adversarial_loss = staticmethod(losses.csa_adversarial_loss)
    discriminator_loss = staticmethod(losses.csa_discriminator_loss)

    @staticmethod
    def view(features, labels, num_classes):
        return features, labels


ADVERSARIES = {"global": GlobalAdversary, "fcsa": FcsaAdversary, "csa": CsaAdversary}


class Networks(NamedTuple):
    """The networks of a run, keras.Model each; None where the method has none."""

    generator: Any
    global_discriminator: Any = None
    semantic_discriminator: Any = None


def with_discriminators(generator, method, widths):
    """G and the discriminators that a method has.

    Args:
        generator: keras.Model.
        method: config.methods.Method.
        widths: schema.Discriminators.

    Returns:
        networks: Networks.
    """
    channels, num_classes = (output.shape[-1] for output in generator.outputs)
    kinds = [ADVERSARIES[name] for name in method.adversaries]
    return Networks(generator, **{kind.slot: kind.build(num_classes, channels, widths) for kind in kinds})


def objectives_of(method, networks, settings, class_weights=None):
    """The objectives of a method, in the order of its terms.

    Args:
        method: config.methods.Method.
        networks: Networks.
        settings: schema.Losses.
        class_weights: floats (c,) or None.
    """
    adversaries = [ADVERSARIES[name](networks, settings, method.lambda_sadv) for name in method.adversaries]
    return [Segmentation(settings, class_weights), *adversaries]
