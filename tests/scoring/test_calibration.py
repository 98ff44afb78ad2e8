"""Calibration: by hand, of drawn pixels whose temperature is known, and at the edges."""

import tracemalloc

import numpy as np
import pytest

from ass_tf import labels
from ass_tf.scoring import calibration


def drawn(count, temperature, seed=0, classes=5):
    """Logits of a network that is too sure of itself by a factor, and truths drawn from what it should have said."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (count, classes))
    p = calibration.probabilities(honest)
    truth = (p.cumsum(1) > rng.uniform(size=(count, 1))).argmax(1)
    return honest * temperature, truth


def test_bins_by_hand():
    scores = np.log([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])
    found = calibration.reliability(scores, np.array([0, 1, 1, 0]))
    assert found.count.sum() == 4
    filled = found.count > 0
    np.testing.assert_allclose(found.confidence[filled], [0.55, 0.8, 0.9])
    np.testing.assert_allclose(found.accuracy[filled], [0, 1, 0.5])
    assert found.error == pytest.approx((0.55 + 0.2 + 2 * 0.4) / 4)


def test_full_certainty_lies_in_the_last_bin():
    found = calibration.reliability(np.array([[1000.0, -1000.0]]), np.array([0]))
    assert found.count[-1] == 1
    assert found.error == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_and_mends_the_error(temperature):
    scores, truth = drawn(40000, temperature)
    assert calibration.best_temperature(scores, truth) == pytest.approx(temperature, rel=0.03)
    before = calibration.reliability(scores, truth).error
    after = calibration.reliability(scores, truth, temperature).error
    assert after < 0.012
    assert before > 0.05 or temperature == 1.0


def test_temperature_is_the_best_of_a_fine_grid():
    scores, truth = drawn(500, 2.0, 1)
    found = calibration.best_temperature(scores, truth)
    losses = [calibration.likelihood_loss(scores, truth, t) for t in np.geomspace(0.5, 8, 400)]
    assert calibration.likelihood_loss(scores, truth, found) <= min(losses) + 1e-6


def test_perfect_network_gets_the_lowest_temperature():
    scores = np.array([[3.0, 0.0], [0.0, 3.0]])
    assert calibration.best_temperature(scores, np.array([0, 1])) == pytest.approx(calibration.RANGE[0], rel=1e-2)


def test_sample_is_a_grid_of_valid_pixels_spread_over_the_image():
    sample = calibration.Sample(1)
    scores, truth = np.zeros((300, 400, 2)), np.zeros((300, 400), np.uint8)
    truth[:150] = labels.IGNORE
    sample.add(scores, truth)
    assert sample.truth[0].size == pytest.approx(4096 / 2, rel=0.2)
    few = calibration.Sample(4 * calibration.MOST)
    few.add(scores, truth)
    assert few.truth[0].size <= 1


def test_pixels_of_a_broken_network_take_no_part():
    sample, scores = calibration.Sample(1), np.zeros((10, 10, 2), np.float32)
    scores[0, 0, 1], scores[1, 1, 0] = np.nan, np.inf
    sample.add(scores, np.zeros((10, 10), np.uint8))
    assert sample.result()[0]["pixels"] == 98


def test_error_with_temperature_is_of_pixels_that_did_not_choose_it():
    sample = calibration.Sample(2)
    parts = [drawn(3600, t, seed) for seed, t in enumerate((1.0, 4.0))]
    for scores, truth in parts:
        sample.add(scores.reshape(60, 60, 5), truth.reshape(60, 60))
    noted, _ = sample.result()
    crossed = [
        calibration.reliability(*one, calibration.best_temperature(*other)).error for one, other in (parts, parts[::-1])
    ]
    assert noted["error_with_temperature"] == pytest.approx(100 * np.mean(crossed), abs=0.1)
    assert noted["pixels"] == sum(part["pixels"] for part in noted["bins"]) == 7200


def test_pixels_are_computed_in_parts_which_changes_no_result_and_takes_little_memory(monkeypatch):
    images = [drawn(4096, 2.0, seed) for seed in range(6)]
    sample = calibration.Sample(len(images))
    for scores, truth in images:
        sample.add(scores.reshape(64, 64, 5), truth.reshape(64, 64))
    whole, found = sample.result()
    monkeypatch.setattr(calibration, "PART", 1000)
    tracemalloc.start()
    parts, found_in_parts = sample.result()
    beyond = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert parts["temperature"] == pytest.approx(whole["temperature"])
    np.testing.assert_array_equal(found_in_parts.count, found.count)
    assert parts["error_with_temperature"] == pytest.approx(whole["error_with_temperature"])
    assert beyond < 4 * sum(scores.nbytes for scores in sample.scores)


def test_one_image_has_no_other_half_and_no_label_gives_nothing():
    sample = calibration.Sample(1)
    scores, truth = drawn(100, 1.0)
    sample.add(scores.reshape(10, 10, 5), truth.reshape(10, 10))
    assert sample.result()[0]["error_with_temperature"] is None
    nothing = calibration.Sample(1)
    nothing.add(np.zeros((4, 4, 2)), np.full((4, 4), labels.IGNORE))
    assert nothing.result() is None
