"""Distances between domains, and the plane that class means are drawn in."""

import numpy as np
import pytest

from ass_tf.scoring import alignment

NAN = float("nan")


def test_distance_is_relative_to_that_between_classes():
    # Source classes at 0 and 4, target classes at 1 and 3: between classes 4 and 2, mean 3; domains 1 apart in either.
    source, target = np.array([[0.0, 0], [4, 0]]), np.array([[1.0, 0], [3, 0]])
    assert alignment.distances(source, target) == pytest.approx([1 / 3, 1 / 3])
    assert alignment.distances(100 * source, 100 * target) == pytest.approx([1 / 3, 1 / 3])


def test_a_class_that_a_domain_lacks_has_no_distance_and_leaves_the_others_alone():
    source, target = np.array([[0.0, 0], [4, 0], [9, 9]]), np.array([[1.0, 0], [3, 0], [NAN, NAN]])
    found = alignment.distances(source, target)
    assert np.isnan(found).tolist() == [False, False, True]
    assert np.isnan(alignment.distances(np.full((2, 3), NAN), target[:2, [0, 1, 1]])).all()


def test_points_that_lie_in_a_plane_keep_their_distances_in_it():
    rng = np.random.default_rng(0)
    flat, basis = rng.normal(size=(10, 2)), np.linalg.qr(rng.normal(size=(7, 2)))[0]
    points = flat @ basis.T + 5
    source, target, kept = alignment.plane(points[:5], points[5:])
    found = np.concatenate([source, target])
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert np.linalg.norm(found[:, None] - found[None], axis=-1) == pytest.approx(apart, abs=1e-9)
    assert kept == pytest.approx(1)


def test_plane_keeps_the_two_largest_variances_and_skips_absent_classes():
    # Variances 9 : 4 : 1 along three axes.
    points = np.array([[3.0, 0, 0], [-3, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]])
    source, target, kept = alignment.plane(np.vstack([points[:3], [[NAN] * 3]]), np.vstack([points[3:], [[NAN] * 3]]))
    assert kept == pytest.approx(13 / 14)
    assert np.isnan(source[3]).all()
    assert np.isnan(target[3]).all()
    assert np.abs(source[0]) == pytest.approx([3, 0], abs=1e-9)


def test_no_class_at_all_gives_no_points():
    source, target, kept = alignment.plane(np.full((3, 4), NAN), np.full((3, 4), NAN))
    assert np.isnan(source).all()
    assert np.isnan(target).all()
    assert kept == 0
