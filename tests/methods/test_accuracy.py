"""How often discriminators are right."""

import numpy as np
import pytest
import tensorflow as tf

from ass_tf.labels import IGNORE, SOURCE, TARGET
from ass_tf.methods import accuracy


def test_global_accuracy_counts_the_cells_of_the_right_domain():
    # Cells: source, source, target, undecided; the last counts for the source.
    logits = tf.constant([[[[2.0, 1.0], [0.5, 0.0]], [[0.0, 3.0], [0.0, 0.0]]]])
    assert accuracy.global_accuracy(logits, SOURCE).numpy() == pytest.approx([0.75])
    assert accuracy.global_accuracy(logits, TARGET).numpy() == pytest.approx([0.25])


def test_semantic_accuracy_asks_for_the_domain_whatever_the_class():
    # Two classes. Cell 0: e^1 + e^1 > e^1.5 + e^-9 (source, though one target output is highest); cell 1: target.
    logits = tf.constant([[[[1.0, 1.0, 1.5, -9.0], [0.0, 0.0, 0.0, 1.0], [9.0, 0.0, 0.0, 0.0]]]])
    labels = tf.constant([[[1, 0, IGNORE]]])
    assert accuracy.semantic_accuracy(logits, labels, SOURCE).numpy() == pytest.approx([0.5])
    assert accuracy.semantic_accuracy(logits, labels == 1, SOURCE).numpy() == pytest.approx([1.0])
    assert accuracy.semantic_accuracy(logits, labels == 1, TARGET).numpy() == pytest.approx([0.0])


def test_an_image_in_which_nothing_takes_part_counts_as_chance():
    logits = tf.constant(np.full((1, 2, 2, 4), [9.0, 0, 0, 0], "f"))
    assert accuracy.semantic_accuracy(logits, tf.fill([1, 2, 2], IGNORE), SOURCE).numpy() == [0.5]
