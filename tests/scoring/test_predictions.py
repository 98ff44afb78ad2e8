from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from ass_tf import labels
from ass_tf.scoring import predictions

STRIDE = 8


def by_brightness(threshold, softness=1.0):
    """Stand-in for a generator: class 1 where a cell's pixel is brighter than `threshold`; cell i is pixel 8i."""

    def generator(images, training):
        if training:
            raise ValueError("scoring must not train")
        features = images[:, ::STRIDE, ::STRIDE, :1]
        return features, tf.concat([tf.zeros_like(features), (features - threshold) / softness], -1)

    return generator


def domain_of(monkeypatch, triples):
    """A domain whose evaluation pairs are the given ones."""
    monkeypatch.setattr(
        predictions.pipeline, "evaluation_pairs", lambda domain, places: (domain.pairs[i] for i in places)
    )
    return SimpleNamespace(pairs=triples)


def score(generator, domain, num_classes, **options):
    return predictions.score(predictions.build_forward(generator), domain, num_classes, **options)


def ramp(height, width, step=10.0):
    """Image that gets brighter to the right by `step` a column."""
    return np.broadcast_to(step * np.arange(width, dtype=np.float32)[None, :, None], (height, width, 3))


def test_logits_are_upsampled_with_aligned_corners():
    # Cells at columns 0, 8, 16 hold 0, 80, 160: aligned corners give back 10 x, above 15 from column 2 on. Half-pixel
    # centres would give 80 ((x + 1/2) 3/17 - 1/2), above 15 from column 4 on.
    forward = predictions.build_forward(by_brightness(15))
    prediction = predictions.predict(forward, ramp(9, 17), (9, 17))
    assert prediction.dtype == np.uint8
    np.testing.assert_array_equal(prediction, np.broadcast_to(np.arange(17) >= 2, (9, 17)))


def test_prediction_is_made_at_the_labels_own_size(monkeypatch):
    truth = np.broadcast_to((np.arange(33) >= 4).astype(np.uint8), (20, 33))  # twice as wide: column 2x is column x
    domain = domain_of(monkeypatch, [("a", ramp(9, 17), truth)])
    confusion, [(_, image, kept_truth, prediction)] = score(by_brightness(15), domain, 2, keep=1)
    assert confusion.sum() == 20 * 33
    assert image.shape == (9, 17, 3)
    assert image.dtype == np.uint8
    assert prediction.shape == kept_truth.shape == (20, 33)
    np.testing.assert_array_equal(prediction, truth)


def test_ignored_pixels_do_not_change_the_counts(monkeypatch):
    truth = np.zeros((9, 17), np.uint8)
    truth[:, 8:] = labels.IGNORE
    domain = domain_of(monkeypatch, [("a", ramp(9, 17), truth)])
    confusion, _ = score(by_brightness(15), domain, 2)
    np.testing.assert_array_equal(confusion, [[9 * 2, 9 * 6], [0, 0]])


def test_counts_add_up_over_images_in_any_order(monkeypatch):
    generator = np.random.default_rng(0)
    triples = [
        (str(i), generator.uniform(0, 255, (17, 17, 3)).astype(np.float32), generator.choice([0, 1, 255], (17, 20)))
        for i in range(4)
    ]
    together, _ = score(by_brightness(128), domain_of(monkeypatch, triples), 2)
    backwards, _ = score(by_brightness(128), domain_of(monkeypatch, triples[::-1]), 2)
    single = sum(score(by_brightness(128), domain_of(monkeypatch, [t]), 2)[0] for t in triples)
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, single)


def test_flip_changes_nothing_where_the_model_is_mirror_symmetric():
    image = np.random.default_rng(0).uniform(0, 255, (17, 33, 3)).astype(np.float32)
    forward = predictions.build_forward(by_brightness(128))
    plain = predictions.predict(forward, image, (40, 66))
    # Softmax of two classes is above 1/2 where its logit is above 0, so averaging equal maps changes no argmax.
    np.testing.assert_array_equal(predictions.predict(forward, image, (40, 66), flip=True), plain)


def test_flip_averages_the_probabilities_of_both_sides():
    def leans(images, training):
        shape = tf.shape(images[:, ::STRIDE, ::STRIDE, :1])
        right = tf.linspace(0.0, 1.0, shape[2])[None, None, :, None] + tf.zeros(shape)
        left_sure, right_unsure = 3.0, -1.0  # P(class 1) is 0.95 on the left and 0.27 on the right: 0.61 on average
        logit = tf.where(right < 0.5, left_sure, right_unsure)
        return logit, tf.concat([tf.zeros_like(logit), logit], -1)

    forward, image = predictions.build_forward(leans), np.zeros((8, 16, 3), np.float32)
    np.testing.assert_array_equal(predictions.predict(forward, image, (1, 2)), [[1, 0]])
    np.testing.assert_array_equal(predictions.predict(forward, image, (1, 2), flip=True), [[1, 1]])


def test_scales_average_the_probabilities_of_each():
    def by_width(images, training):
        wide = tf.shape(images)[2] > 16
        logit = tf.where(wide, 3.0, -1.0) + tf.zeros_like(images[:, ::STRIDE, ::STRIDE, :1])
        return logit, tf.concat([tf.zeros_like(logit), logit], -1)

    forward, image = predictions.build_forward(by_width), np.zeros((8, 16, 3), np.float32)
    for scales, expected in (((1.0,), 0), ((2.0,), 1), ((1.0, 2.0), 1), ((1.0, 0.5, 0.75, 2.0), 0)):
        assert (predictions.predict(forward, image, (3, 5), scales=scales) == expected).all()


def test_equal_scales_change_nothing():
    image = np.random.default_rng(0).uniform(0, 255, (17, 33, 3)).astype(np.float32)
    forward = predictions.build_forward(by_brightness(128))
    plain = predictions.predict(forward, image, (17, 33))
    np.testing.assert_array_equal(predictions.predict(forward, image, (17, 33), scales=(1.0, 1.0)), plain)


def test_forward_pass_is_traced_once_for_all_scales_and_sizes(monkeypatch):
    traces = []

    def generator(images, training):
        traces.append(images.shape)
        return by_brightness(128)(images, training)

    triples = [(str(i), ramp(9, 17), np.zeros((9 + i, 17), np.uint8)) for i in range(3)]
    score(generator, domain_of(monkeypatch, triples), 2, flip=True, scales=(0.5, 1.0, 1.5))
    assert len(traces) == 1


def test_given_forward_is_not_traced_again_by_a_later_call(monkeypatch):
    traces = []

    def generator(images, training):
        traces.append(images.shape)
        return by_brightness(128)(images, training)

    forward = predictions.build_forward(generator)
    domain = domain_of(monkeypatch, [("a", ramp(9, 17), np.zeros((9, 17), np.uint8))])
    for _ in range(3):
        predictions.score(forward, domain, 2)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("keep", "names"), [(0, []), (1, ["5"]), (2, ["2", "7"]), (5, ["1", "3", "5", "7", "9"]), (99, list("0123456789"))]
)
def test_kept_images_are_spread_evenly(monkeypatch, keep, names):
    triples = [(str(i), ramp(9, 17), np.zeros((9, 17), np.uint8)) for i in range(10)]
    _, kept = score(by_brightness(128), domain_of(monkeypatch, triples), 2, keep=keep)
    assert [name for name, *_ in kept] == names


def test_progress_is_told_after_each_image(monkeypatch):
    calls = []
    triples = [(str(i), ramp(9, 17), np.zeros((9, 17), np.uint8)) for i in range(3)]
    domain = domain_of(monkeypatch, triples)
    score(by_brightness(128), domain, 2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (float("nan"),), (float("inf"),)])
def test_impossible_scales_are_refused(scales):
    with pytest.raises(ValueError, match="scales must be numbers above 0"):
        score(by_brightness(128), SimpleNamespace(pairs=[]), 2, scales=scales)


@pytest.mark.parametrize("shares", [1, 2, 3, 7])
def test_shares_add_up_and_the_first_has_what_is_kept(monkeypatch, shares):
    triples = [(str(i), ramp(4, 8, 10.0 * i), np.full((4, 8), i % 2, np.uint8)) for i in range(9)]
    domain = domain_of(monkeypatch, triples)
    whole, kept = score(by_brightness(60), domain, 2, keep=4)
    parts = [score(by_brightness(60), domain, 2, keep=4, share=(i, shares)) for i in range(shares)]
    assert np.array_equal(sum(confusion for confusion, _ in parts), whole)
    assert [name for name, *_ in parts[0][1]] == [name for name, *_ in kept]
    assert not any(others for _, others in parts[1:])
