"""Uncertainty of logits: by hand, and what its parts sum up to."""

import numpy as np
import pytest

from ass_tf.scoring import uncertainty


def logits(seed=0, shape=(3, 4, 5)):
    return np.random.default_rng(seed).normal(0, 3, shape).astype("f")


def test_probabilities_are_softmax_for_large_logits_too():
    p = uncertainty.probabilities(np.array([[1000.0, 1000.0, -1000.0]]))
    np.testing.assert_allclose(p, [[0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("measure", "expected"), [("margin", [0, 1, 0.8]), ("entropy", [0, np.log(2) / np.log(4), 1.0296530 / np.log(4)])]
)
def test_measures_by_hand(measure, expected):
    p = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.3, 0.2, 0]])
    np.testing.assert_allclose(uncertainty.uncertainty(p, measure), expected, atol=1e-6)


@pytest.mark.parametrize("measure", uncertainty.MEASURES)
def test_the_parts_of_the_classes_sum_up_to_the_mean(measure):
    reading = uncertainty.read("a", logits(1, (3, 4, 2)), logits(), measure)
    p = uncertainty.probabilities(logits())
    assert reading.doubts.sum() == pytest.approx(uncertainty.uncertainty(p, measure).mean())
    assert reading.shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(reading.feature, logits(1, (3, 4, 2)).mean((0, 1)), rtol=1e-5)


def test_doubt_about_a_rare_class_counts_more():
    shares = np.array([0.7, 0.25, 0.05])
    common = uncertainty.Reading("common", shares, np.array([0.1, 0.0, 0.0]), np.zeros(2))
    rare = uncertainty.Reading("rare", shares, np.array([0.0, 0.0, 0.1]), np.zeros(2))
    scores = uncertainty.scores([common, rare])
    np.testing.assert_allclose(scores, [0.1 * (0.25 / 0.7) ** 0.5, 0.1 * (0.25 / 0.05) ** 0.5])
