"""Greys and blur, by hand."""

import numpy as np
import tensorflow as tf

from ass_tf.datasets import colour


def test_grey_is_that_of_rec_601_for_the_chosen_images_alone():
    images = tf.constant(np.tile([200.0, 100.0, 50.0], (2, 2, 3, 1)), tf.float32)
    found = colour.without_colour(images, tf.constant([True, False])).numpy()
    np.testing.assert_allclose(found[0], np.full((2, 3, 3), 0.299 * 200 + 0.587 * 100 + 0.114 * 50), rtol=1e-6)
    np.testing.assert_array_equal(found[1], images[1])


def test_blur_of_a_point_is_a_gaussian_and_one_of_nothing_changes_nothing():
    point = np.zeros((2, 21, 25, 3), "f")
    point[:, 10, 12] = 1
    found = colour.blur(tf.constant(point), tf.constant([1.5, 0.0])).numpy()
    offsets = np.arange(-4, 5)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    np.testing.assert_allclose(found[0, 6:15, 8:17, 1], np.outer(weights, weights), atol=1e-6)
    np.testing.assert_allclose(found[0].sum(axis=(0, 1)), 1, rtol=1e-5)
    np.testing.assert_allclose(found[1], point[1], atol=1e-6)


def test_blur_mirrors_the_image_beyond_its_edge():
    images = tf.fill((1, 12, 12, 3), 7.0)
    np.testing.assert_allclose(colour.blur(images, tf.constant([2.0])), images, rtol=1e-6)
