"""Frequencies of classes, their weights, and rare-class sampling."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from painted import domain as domain  # a fixture

from ass_tf.config import schema
from ass_tf.datasets import balance, order, pipeline

PIXELS = np.array([[900, 100, 0, 0], [880, 100, 20, 0], [500, 499, 1, 0]])  # by image and class; the last has none


def test_weights_by_the_median_frequency_by_hand():
    # Shares 0.76, 0.233, 0.007 of those that occur: the median is 0.233.
    found = balance.class_weights({"source": PIXELS}, 0.5)
    assert found == pytest.approx([(699 / 2280) ** 0.5, 1, (699 / 21) ** 0.5, 1])
    assert balance.class_weights({"source": PIXELS}, 1)[2] == 10  # not 33
    assert balance.class_weights({"source": PIXELS}, None) is None
    assert balance.class_weights({"source": PIXELS}, (1, 2, 3, 4)) == [1, 2, 3, 4]


def test_roles_count_alike_whatever_their_number_of_pixels():
    few, many = np.array([[10, 90]]), np.array([[9000, 1000]] * 5)
    assert balance.class_weights({"source": many, "labelled": few}, 1) == [1, 1]


def test_sampling_prefers_rare_classes_and_finds_images_that_hold_enough_of_them():
    probabilities, images = balance.sampling_table(PIXELS, 0.5)
    expected = np.exp((1 - PIXELS.sum(0)[:3] / 3000) / 0.5)
    np.testing.assert_allclose(probabilities[:3], expected / expected.sum())
    assert probabilities[3] == 0
    assert [held.tolist() for held in images] == [[0, 1, 2], [0, 1, 2], [1, 2], []]
    rare = balance.sampling_table(np.array([[99_999, 1], [100_000, 0]]), 0.5)[1]
    assert rare[1].tolist() == [0]  # too few pixels, but the only image


def test_a_class_of_no_image_leaves_the_others_their_share_at_any_temperature():
    probabilities, _ = balance.sampling_table(np.array([[50, 50, 0], [60, 40, 0]]), 1e-4)
    assert probabilities.tolist() == [0, 1, 0]
    probabilities, _ = balance.sampling_table(np.array([[50, 50, 0]]), 1e-6)
    assert probabilities.tolist() == [0.5, 0.5, 0]


def test_draws_have_the_tables_probabilities_and_depend_on_number_and_seed_alone():
    probabilities, images = balance.sampling_table(PIXELS, 0.5)
    draw = tf.function(order.by_class(probabilities, images, 7))
    numbers = tf.range(3000, dtype=tf.int64)
    found = tf.function(lambda: tf.map_fn(draw, numbers))().numpy()
    expected = [sum(p / len(held) for p, held in zip(probabilities, images) if i in held) for i in range(3)]
    counts = Counter(found.tolist())
    np.testing.assert_allclose([counts[i] / 3000 for i in range(3)], expected, atol=0.03)
    assert int(draw(tf.constant(123, tf.int64))) == found[123]
    other = tf.function(lambda: tf.map_fn(order.by_class(probabilities, images, 8), numbers))().numpy()
    assert (found != other).any()


def test_one_class_alone_is_always_drawn():
    draw = order.by_class(*balance.sampling_table(np.array([[0, 5], [0, 0]]), 0.01), 3)
    assert {int(draw(tf.constant(i, tf.int64))) for i in range(20)} == {0}


def test_batches_with_rare_classes_go_on_where_they_were(domain):
    table = balance.sampling_table(np.arange(1, 1 + 2 * len(domain.pairs)).reshape(-1, 2), 0.1)

    def take(start, count):
        data = pipeline.batches(
            domain, batch=2, seed=1, stream="source", start_step=start, augmentation=schema.Augmentation(), rare=table
        )
        return [images.numpy() for images, _ in data.take(count)]

    for whole, part in zip(take(0, 5)[3:], take(3, 2)):
        np.testing.assert_array_equal(whole, part)
