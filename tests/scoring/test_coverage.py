"""Greedy choice: by hand, against a plain search, and at its edges."""

import numpy as np
import pytest

from ass_tf.scoring import coverage

NOTHING = np.zeros((0, 2))


def photographs(seed, n=30, d=4):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, n), rng.normal(0, 1, (n, d)), rng.normal(0, 1, (3, d))


@pytest.mark.parametrize("rule", coverage.RULES)
def test_choice_is_that_of_a_plain_search(rule):
    scores, features, known = photographs(1)
    covered, expected, distances = list(known), [], []
    for _ in range(8):
        best, place, far = -1.0, None, None
        for k in range(len(scores)):
            distance = min(np.linalg.norm(features[k] - one) for one in covered)
            value = {"both": scores[k] * distance, "uncertainty": scores[k], "coverage": distance}[rule]
            if k not in expected and value > best:
                best, place, far = value, k, distance
        expected.append(place)
        distances.append(far)
        covered.append(features[place])
    assert coverage.pick(scores, features, known, 8, rule) == (expected, pytest.approx(distances))


def test_all_can_be_chosen_each_once_even_copies():
    features = np.zeros((4, 2))
    assert coverage.pick(np.ones(4), features, NOTHING, 4) == ([0, 1, 2, 3], [np.inf, 0, 0, 0])


@pytest.mark.parametrize(("rule", "first"), [("both", 2), ("uncertainty", 2), ("coverage", 1)])
def test_first_where_nothing_is_covered(rule, first):
    features = np.array([[0.0, 0], [2, 0], [5, 0]])  # the mean is 2.33
    assert coverage.pick(np.array([0.1, 0.2, 0.3]), features, NOTHING, 1, rule) == ([first], [np.inf])


def test_a_twin_of_a_labelled_photograph_comes_last():
    features = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    places, _ = coverage.pick(np.array([0.9, 0.2, 0.2]), features, features[:1], 3)
    assert places[-1] == 0


def test_distances_are_those_at_the_time_of_choice():
    features = np.array([[0.0], [1.0], [5.0]])
    found = coverage.pick(np.array([0.2, 0.1, 0.3]), features, np.zeros((0, 1)), 3, "uncertainty")
    assert found == ([2, 0, 1], [np.inf, 5.0, 1.0])


def test_dimensions_count_in_units_of_their_spread():
    one, other = coverage.standardised(np.array([[0.0, 7], [200, 7]]), np.array([[100.0, 7]]))
    np.testing.assert_allclose(one[1, 0] - one[0, 0], 200 / np.std([0, 200, 100]))
    np.testing.assert_array_equal(other[:, 1], [7])
