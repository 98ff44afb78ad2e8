"""Images pasted into one another: which pixels, with which labels, by which draws."""

import numpy as np
import pytest
import tensorflow as tf

from ass_tf.config import schema
from ass_tf.labels import IGNORE
from ass_tf.methods import mixing

SEED = 3, tf.constant(7, tf.int64)


def numbers(*values):
    return tf.constant(values, tf.int64)


def test_draws_of_an_image_depend_on_its_number_not_on_its_batch():
    whole = mixing.uniform(SEED, 0, numbers(0, 1, 2, 3), 5)
    np.testing.assert_array_equal(mixing.uniform(SEED, 0, numbers(2, 3), 5), whole[2:])
    others = [
        mixing.uniform(SEED, 1, numbers(0, 1, 2, 3), 5),
        mixing.uniform((4, SEED[1]), 0, numbers(0, 1, 2, 3), 5),
        mixing.uniform((3, tf.constant(8, tf.int64)), 0, numbers(0, 1, 2, 3), 5),
    ]
    values = np.concatenate([np.ravel(draws) for draws in (whole, *others)])
    assert len(set(values.tolist())) == values.size
    assert ((values >= 0) & (values < 1)).all()


def test_fit_cuts_what_is_larger_and_sets_in_what_is_smaller():
    images = tf.constant(np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3), tf.float32)
    labels = tf.constant(np.arange(2 * 4 * 6).reshape(2, 4, 6), tf.int32)
    found, ids = mixing.fit(images, labels, (5, 4), tf.constant([[0.0, 0.0], [0.999, 0.999]]))
    # The first image at the top left of all places, the second at the bottom right.
    np.testing.assert_array_equal(ids[0], np.vstack([np.full(4, IGNORE), labels[0, :, :4]]))
    np.testing.assert_array_equal(ids[1], np.vstack([labels[1, :, 2:], np.full(4, IGNORE)]))
    np.testing.assert_array_equal(found[0, 1:], images[0, :, :4])
    np.testing.assert_array_equal(found[1, :4], images[1, :, 2:])


@pytest.mark.parametrize(("classes", "half"), [((0,), 1), ((0, 2), 1), ((1, 2, 3), 2), ((0, 1, 2, 3), 2)])
def test_half_of_an_images_classes_are_drawn(classes, half):
    labels = tf.constant([[[*classes, IGNORE]]] * 50, tf.int32)
    draws = tf.constant(np.random.RandomState(0).uniform(size=(50, 5)), tf.float32)
    mask = mixing.class_mask(labels, tf.zeros(4), draws, 1.0).numpy()
    assert (mask.sum(axis=(1, 2)) == half).all()
    assert not mask[..., -1].any()  # of ignored pixels
    if half < len(classes):
        assert mask[..., :-1].any(axis=0).all()
    some = mixing.class_mask(labels, tf.zeros(4), draws, 0.5).numpy().any(axis=(1, 2))
    np.testing.assert_array_equal(some, draws.numpy()[:, 0] < 0.5)


def test_an_image_without_a_class_gives_nothing():
    labels = tf.fill((1, 2, 2), IGNORE)
    assert not mixing.class_mask(labels, tf.zeros(3), tf.zeros((1, 4)), 1.0).numpy().any()


def test_classes_are_drawn_with_the_odds_of_their_preference():
    labels = tf.constant([[[0, 1]]] * 4000, tf.int32)
    draws = tf.constant(np.random.RandomState(1).uniform(size=(4000, 3)), tf.float32)
    mask = mixing.class_mask(labels, tf.math.log([1.0, 3.0]), draws, 1.0).numpy()
    assert mask[:, 0, 1].mean() == pytest.approx(0.75, abs=0.03)


def test_rectangles_have_the_areas_and_sides_that_were_drawn():
    draws = np.random.RandomState(2).uniform(size=(300, 5)).astype("f")
    mask = mixing.rectangle_mask((100, 100), tf.constant(draws), 0.5).numpy()
    np.testing.assert_array_equal(mask.any(axis=(1, 2)), draws[:, 4] < 0.5)
    shares = mask[draws[:, 4] < 0.5].mean(axis=(1, 2))
    areas = mixing.AREA[0] + (mixing.AREA[1] - mixing.AREA[0]) * draws[draws[:, 4] < 0.5, 0]
    # The longer side ends at the image's, so that some are smaller.
    assert (shares <= areas + 0.03).all()
    assert np.median(np.abs(shares - areas)) < 0.01
    one = mask[draws[:, 4] < 0.5][0]
    rows, columns = one.any(axis=1), one.any(axis=0)
    np.testing.assert_array_equal(one, np.outer(rows, columns))
    for line in (rows, columns):
        assert np.abs(np.diff(np.r_[0, line, 0])).sum() == 2  # one piece


def test_the_view_without_changes_is_the_image():
    images = tf.constant(np.random.RandomState(3).uniform(0, 255, (2, 16, 20, 3)), tf.float32)
    draws = tf.constant(np.random.RandomState(4).uniform(size=(2, mixing.DRAWS + 3)), tf.float32)
    plain = schema.SelfTraining(colour=0.0, grey=0.0, blur=0.0)
    np.testing.assert_array_equal(mixing.strong_view(images, draws, plain), images)
    for change in ({"colour": 1.0}, {"grey": 1.0}, {"blur": 1.0}):
        strong = mixing.strong_view(images, draws, plain.model_copy(update=change)).numpy()
        assert np.abs(strong - images).max() > 1
        assert strong.min() >= 0
        assert strong.max() <= 255.001
