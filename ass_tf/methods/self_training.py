"""Self-training: a teacher, the moving average of G, labels photographs; G learns them under a harder view.

Source: Tranheden et al. 2021 (DACS), arXiv 2007.08702; Tarvainen and Valpola 2017, arXiv 1703.01780, for the teacher.
"""

import tensorflow as tf

from ass_tf.datasets.order import key_of
from ass_tf.labels import IGNORE
from ass_tf.methods import mixing
from ass_tf.methods.objectives import GENERATOR, Term, segmentation
from ass_tf.models import batch_norm, resize

SURENESS_KEPT = 0.99  # of the sureness of each class, in a step
PLACES, DONOR, CLASSES, RECTANGLE, VIEW = range(5)  # streams of random numbers


class Teacher:
    """The moving average of G, and what it needs to go on.

    Its running statistics of batch norm are averages of G's until self-training begins, then those of its own passes.

    Args:
        network: keras.Model, a twin of G, built under the strategy.
        generator: keras.Model.
        settings: schema.SelfTraining.

    Attributes:
        steps: tf.Variable, int64, steps done.
        sureness: tf.Variable, float32 (c,), how sure the teacher is of the pixels that it gives to each class.
    """

    def __init__(self, network, generator, settings):
        self.network, self.generator, self.settings = network, generator, settings
        network.set_weights(generator.get_weights())
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.sureness = tf.Variable(tf.zeros(generator.outputs[1].shape[-1]), trainable=False)

    @property
    def parts(self):
        """What a snapshot holds of it, by name."""
        return {"teacher": self.network, "teacher_steps": self.steps, "teacher_sureness": self.sureness}

    def is_active(self):
        """Whether the next step trains with its labels."""
        return int(batch_norm.here(self.steps).numpy()) >= self.settings.start

    def follow(self, sureness):
        """Moves it towards G and counts the step, in each replica.

        Args:
            sureness: what `SelfTraining.mix` said of this step; None where it was not active.
        """
        step = tf.cast(batch_norm.here(self.steps), tf.float32)
        kept = tf.minimum(1 - 1 / (step + 1), self.settings.momentum)
        own = {id(v) for norm in batch_norm.norms_of(self.network) for v in norm.non_trainable_weights}
        for mine, other in zip(self.network.weights, self.generator.weights):
            if sureness is None or id(mine) not in own:
                mine = batch_norm.here(mine)
                mine.assign(kept * mine + (1 - kept) * batch_norm.here(other))
        batch_norm.here(self.steps).assign_add(1)
        if sureness is not None:
            self._note(sureness)

    def _note(self, sureness):
        pixels, total = tf.unstack(tf.distribute.get_replica_context().all_reduce("SUM", sureness))
        own = batch_norm.here(self.sureness)
        new = SURENESS_KEPT * own + (1 - SURENESS_KEPT) * tf.math.divide_no_nan(total, pixels)
        own.assign(tf.where(pixels > 0, new, own))

    def label(self, images):
        """Its classes for photographs, by the statistics of the batch, and its probability of each pixel's.

        Args:
            images: float32 (b, h, w, 3).

        Returns:
            labels: int32 (b, h, w). IGNORE where it is less sure than the threshold.
            probability: float32 (b, h, w).
        """
        _, logits = self.network(images, training=True)
        probabilities = tf.nn.softmax(resize.upsample(logits, tf.shape(images)[1:3]))
        labels = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        probability = tf.reduce_max(probabilities, axis=-1)
        if self.settings.threshold:
            labels = tf.where(probability >= self.settings.threshold, labels, IGNORE)
        return labels, probability


class SelfTraining:
    """The loss of G on photographs with the teacher's labels, mixed with images whose labels are true.

    Args:
        teacher: Teacher.
        settings: schema.SelfTraining.
        losses: schema.Losses.
        class_weights: floats (c,) or None; they count where the settings say so.
        seed: int.
    """

    reads = moves = ("mixed",)

    def __init__(self, teacher, settings, losses, class_weights, seed):
        self.teacher, self.settings, self.losses = teacher, settings, losses
        self.class_weights = class_weights if settings.class_weights else None
        self.seed = key_of(seed, "mixing")

    def mix(self, batch):
        """What G sees and is to learn.

        Args:
            batch: dict with "unlabelled": images, and those of "source" and "labelled": (images, labels) that there
                are, of this replica.

        Returns:
            mixed: images float32 (b, h, w, 3), labels int32 (b, h, w).
            sureness: float32 (2, c), the number of pixels that the teacher gave to each class, and the sum of their
                probabilities.
        """
        settings, photographs = self.settings, batch["unlabelled"]
        labels, probability = self.teacher.label(photographs)
        num_classes = self.teacher.sureness.shape[0]
        members = tf.one_hot(labels, num_classes)
        sureness = tf.stack([tf.reduce_sum(m, [0, 1, 2]) for m in (members, members * probability[..., None])])
        count, (height, width) = photographs.shape[0], photographs.shape[1:3]
        context = tf.distribute.get_replica_context()
        numbers = tf.cast(context.replica_id_in_sync_group, tf.int64) * count + tf.range(count, dtype=tf.int64)
        seed = self.seed, tf.convert_to_tensor(batch_norm.here(self.teacher.steps))

        def draws(stream, number):
            return mixing.uniform(seed, stream, numbers, number)

        images = photographs
        if settings.cut_mix and count > 1:
            partners = [place ^ 1 if place ^ 1 < count else place for place in range(count)]
            mask = mixing.rectangle_mask((height, width), draws(RECTANGLE, 5), settings.cut_mix)
            others, theirs = tf.gather(photographs, partners), tf.gather(labels, partners)
            images, labels = mixing.paste(images, labels, others, theirs, mask)
        if settings.class_mix:
            donors, theirs = self._donors(batch, count, (height, width), draws)
            unsure = tf.sqrt(1 - batch_norm.here(self.teacher.sureness))
            preference = unsure if settings.adaptive else tf.zeros(num_classes)
            mask = mixing.class_mask(theirs, preference, draws(CLASSES, num_classes + 1), settings.class_mix)
            images, labels = mixing.paste(images, labels, donors, theirs, mask)
        images = mixing.strong_view(images, draws(VIEW, mixing.DRAWS + 3), settings)
        return (images, labels), sureness

    def _donors(self, batch, count, size, draws):
        """For each photograph an image with labels, of the source or of the labelled target by equal chance."""
        places, found = draws(PLACES, 4), []
        for index, role in enumerate(role for role in ("source", "labelled") if role in batch):
            images, labels = batch[role]
            chosen = [place % images.shape[0] for place in range(count)]
            at = places[:, 2 * index : 2 * index + 2]
            found.append(mixing.fit(tf.gather(images, chosen), tf.gather(labels, chosen), size, at))
        if len(found) == 1:
            return found[0]
        first = draws(DONOR, 1)[:, 0] < 0.5
        return (
            tf.where(first[:, None, None, None], found[0][0], found[1][0]),
            tf.where(first[:, None, None], found[0][1], found[1][1]),
        )

    def terms(self, passes):
        """Terms of a step: dict of role -> Pass -> list of Term."""
        if "mixed" not in passes:
            return []
        loss = segmentation(passes["mixed"], self.losses, self.class_weights)
        weight = tf.constant(float(self.settings.weight))
        if self.settings.warmup:
            done = tf.cast(batch_norm.here(self.teacher.steps) - self.settings.start + 1, tf.float32)
            weight *= tf.minimum(done / self.settings.warmup, 1.0)
        return [Term("self_training_loss", loss, GENERATOR, weight)]
