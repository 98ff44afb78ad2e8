"""SGD and Adam to PyTorch's formulas, as in the base code, and others by Keras' names, on Keras 2 and Keras 3."""

import warnings
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from ass_tf.models.generator import variables_of

ADDONS = "Addons>"  # before the registered names of TensorFlow Addons' optimisers


class Optimisers(NamedTuple):
    """One for each of G's two groups of variables, and for each discriminator or None."""

    backbone: Any
    head: Any
    global_discriminator: Any
    semantic_discriminator: Any


def build_optimisers(networks, settings):
    """Optimisers with polynomial decay; their variables exist at once.

    Args:
        networks: Networks.
        settings: schema.Optimiser.

    Returns:
        optimisers: Optimisers.

    Raises:
        ValueError: an optimiser that is not there or does not take its options.
    """

    def decayed(rate):
        return Decay(rate, settings.decay_steps, settings.power, settings.warmup_steps)

    def of_group(variables, multiplier, name):
        rate = decayed(settings.lr * multiplier)
        if settings.generator != "SGD":
            return build_named(settings.generator, rate, variables, settings.generator_options)
        optimiser = SGD(rate, settings.momentum, settings.nesterov, settings.weight_decay, name=f"sgd_{name}")
        optimiser.build(variables)
        return optimiser

    def of_discriminator(network, name):
        if network is None:
            return None
        rate, variables = decayed(settings.discriminator_lr), network.trainable_variables
        if settings.discriminator != "Adam":
            return build_named(settings.discriminator, rate, variables, settings.discriminator_options)
        optimiser = Adam(rate, settings.beta_1, settings.beta_2, settings.epsilon, name=f"adam_{name}")
        optimiser.build(variables)
        return optimiser

    backbone, head = variables_of(networks.generator)
    return Optimisers(
        of_group(backbone, settings.backbone_multiplier, "backbone"),
        of_group(head, settings.head_multiplier, "head"),
        of_discriminator(networks.global_discriminator, "global"),
        of_discriminator(networks.semantic_discriminator, "semantic"),
    )


class Decay(keras.optimizers.schedules.PolynomialDecay):
    """Polynomial decay to 0, with a linear rise before.

    Args:
        rate: float. At step 0, were there no rise.
        decay_steps: int. Where it would reach 0.
        power: float.
        warmup_steps: int. Step s, counted from 0, of the rise has (s + 1) / warmup_steps of the schedule's rate.
    """

    def __init__(self, rate, decay_steps, power, warmup_steps=0):
        super().__init__(rate, decay_steps, end_learning_rate=0.0, power=power)
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        rate = super().__call__(step)
        if not self.warmup_steps:
            return rate
        return rate * tf.minimum((tf.cast(step, rate.dtype) + 1) / self.warmup_steps, 1.0)

    def get_config(self):
        base = super().get_config()
        known = {"rate": base["initial_learning_rate"], "decay_steps": base["decay_steps"], "power": base["power"]}
        return {**known, "warmup_steps": self.warmup_steps}


class SGD(keras.optimizers.SGD):
    """SGD with L2 decay added to the gradient, and the rate outside the momentum, as PyTorch and the base code have it.

    Keras' own keeps rate x gradient in the momentum, which lags behind a decaying rate, and its decay is decoupled.

    Args:
        learning_rate, momentum, nesterov: as in `keras.optimizers.SGD`.
        l2: float, weight decay.
    """

    def __init__(self, learning_rate, momentum, nesterov, l2, name="SGD"):
        super().__init__(learning_rate=learning_rate, momentum=momentum, nesterov=nesterov, name=name)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate=None):
        """One step; Keras 2 passes no rate."""
        rate = tf.cast(self.learning_rate if learning_rate is None else learning_rate, variable.dtype)
        variable = raw([variable])[0]
        gradient = gradient + self.l2 * variable
        if not self.momentum:
            variable.assign_sub(rate * gradient)
            return
        velocity = raw([self.momentums[_index_of(variable, self)]])[0]
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, rate.dtype),
            use_nesterov=self.nesterov,
        )

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


class Adam(keras.optimizers.Adam):
    """Adam whose epsilon is added after the bias correction, as in the paper of Adam's algorithm 1 and in PyTorch.

    Keras' own adds it before, which makes it 1 / sqrt(1 - beta_2^t) times as large: ten times at the first step with
    beta_2 = 0.99, where D_g's gradients are often below 1e-6 and would be held back by a tenth.

    Source: Kingma and Ba 2015, arXiv 1412.6980.
    """

    def update_step(self, gradient, variable, learning_rate=None):
        """One step; Keras 2 passes no rate."""
        rate = tf.cast(self.learning_rate if learning_rate is None else learning_rate, variable.dtype)
        index, variable = _index_of(variable, self), raw([variable])[0]
        first, second = raw([self._momentums[index], self._velocities[index]])
        step = tf.cast(self.iterations + 1, variable.dtype)
        power_1, power_2 = (tf.pow(tf.cast(beta, step.dtype), step) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(  # which adds epsilon before the correction
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon * tf.sqrt(1 - power_2),
            grad=gradient,
        )


def raw(variables):
    """tf.Variables of Keras 3's variables, whose gradients the tape knows; Keras 2's are such."""
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


def _index_of(variable, optimiser):
    if hasattr(optimiser, "_get_variable_index"):
        return optimiser._get_variable_index(variable)
    return optimiser._index_dict[optimiser._var_key(variable)]  # Keras 2


def build_named(name, learning_rate, variables, options):
    """An optimiser by its Keras name, with its variables made.

    Args:
        name: of a class in `keras.optimizers`, or a registered one such as "Addons>LAMB".
        learning_rate: float or schedule.
        variables: what it is to move.
        options: dict, its other keywords. `optimizer` names the one that a wrapper (Addons' Lookahead) wraps.

    Raises:
        ValueError: there is none of that name, or it does not take these keywords; the message is one line.
    """
    try:
        _take_a_step(_build(name, learning_rate, options))
        optimiser = _build(name, learning_rate, options)
        _make_variables(optimiser, variables)
    except _Unknown:
        raise
    except Exception as error:  # of every kind, for wrong values
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"optimiser {name} does not work with its options {options}: {reason}") from None
    return optimiser


def _make_variables(optimiser, variables):
    if hasattr(optimiser, "_create_all_weights"):  # Keras 2's legacy ones, which are all of Addons'
        optimiser._create_all_weights(variables)
    else:
        optimiser.build(variables)


def _take_a_step(optimiser):
    """Many wrong values show only then; better now than in the first step of a run."""
    variable, strategy = tf.Variable([1.0]), tf.distribute.get_strategy()
    _make_variables(optimiser, [variable])

    def update():
        optimiser.apply_gradients([(tf.ones([1]), variable)])

    tf.function(lambda: strategy.run(update), autograph=False)()


class _Unknown(ValueError):
    """There is no such optimiser here."""


def _build(name, learning_rate, options):
    kind, options = _class_of(name), dict(options)
    if "learning_rate" in options:
        raise ValueError("its rate is set by lr or discriminator_lr")
    unused = [key for key in ("use_ema", "gradient_accumulation_steps") if options.get(key)]
    if unused or name in (f"{ADDONS}SWA", f"{ADDONS}MovingAverage"):
        raise ValueError(f"{(unused or [name])[0]} needs a training loop that takes averages, which this one does not")
    if options.get("loss_scale_factor"):  # by which Keras would only divide the gradients
        raise ValueError("loss_scale_factor needs a training loop that scales losses by it, which this one does not")
    clips = [key for key in ("clipnorm", "global_clipnorm", "clipvalue") if options.get(key) is not None]
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if clips and replicas > 1 and hasattr(kind, "_get_variable_index"):  # Keras 3 clips before it sums over replicas
        raise ValueError(f"{clips[0]} clips the gradient of each of {replicas} replicas; optimiser.clip_norm clips G's")
    if "optimizer" in options:
        options["optimizer"] = _build(options["optimizer"], learning_rate, {})
    else:
        options["learning_rate"] = learning_rate
    return kind(**options)


def _class_of(name):
    if str(name).startswith(ADDONS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its own farewell
                import tensorflow_addons  # noqa: F401
        except Exception:  # absent, or with a Keras that it does not know
            raise _Unknown(
                f"optimiser {name} needs TensorFlow Addons: pip install 'ass_tf[addons]' (TensorFlow 2.15, Python 3.10 "
                "or 3.11), or name one of Keras' own."
            ) from None
    kind = keras.saving.get_registered_object(str(name)) or getattr(keras.optimizers, str(name), None)
    if not isinstance(kind, type) or not hasattr(kind, "apply_gradients"):
        raise _Unknown(f"optimiser must be a name that Keras knows. Received: {name}.")
    return kind
