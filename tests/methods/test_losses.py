"""Equations 1 to 8 on maps small enough to work by hand."""

import goldens
import numpy as np
import pytest
import tensorflow as tf

from ass_tf.labels import IGNORE, SOURCE, TARGET
from ass_tf.methods import losses

GOLDENS = goldens.NUMBERS
LOG2, LOG4 = np.log(2), np.log(4)


def logits_of(probs):
    return tf.math.log(tf.constant(probs, tf.float32))


def test_segmentation_loss_is_the_mean_of_minus_log_p_over_valid_pixels():
    # 2 x 2 pixels, 2 classes. P of the true class: 1/2, 1/4, 1/4, and one ignored pixel.
    # Loss = (log 2 + log 4 + log 4) / 3.
    logits = logits_of([[[[0.5, 0.5], [0.25, 0.75]], [[0.75, 0.25], [0.9, 0.1]]]])
    labels = tf.constant([[[1, 0], [1, IGNORE]]])
    np.testing.assert_allclose(losses.segmentation_loss(logits, labels), [(LOG2 + 2 * LOG4) / 3], rtol=1e-6)


def test_cross_entropy_equals_the_base_code():
    rs = np.random.RandomState(20)
    logits = (2 * rs.standard_normal((2, 19, 12, 20))).astype("f")
    labels = rs.randint(0, 19, (2, 12, 20)).astype("i4")
    labels[0, :4] = IGNORE
    images = losses.segmentation_loss(logits.transpose(0, 2, 3, 1), labels).numpy()
    valid = np.array([160, 240])  # the base code takes one mean over the batch, ours are per image
    np.testing.assert_allclose(
        (images * valid).sum() / valid.sum(), GOLDENS["loss/cross_entropy_mean_over_valid"], rtol=1e-5
    )


def test_two_channel_domain_loss_equals_the_base_codes_sigmoid_one():
    # softmax([0, x])[1] = sigmoid(x), so - log of it is the base code's binary cross-entropy with target 1.
    logits = 2 * np.random.RandomState(20).standard_normal((2, 19, 12, 20)).astype("f")[:, :1].transpose(0, 2, 3, 1)
    images = losses.global_adversarial_loss(np.concatenate([np.zeros_like(logits), logits], -1))
    np.testing.assert_allclose(images.numpy().mean(), GOLDENS["loss/bce_with_logits_target_1"], rtol=1e-5)


def test_global_losses_read_the_channel_of_the_domain():
    # One image, 1 x 2 cells: P(source) = 1/2 and 1/4, P(target) = 1/2 and 3/4.
    logits = logits_of([[[[0.5, 0.5], [0.25, 0.75]]]])
    source, target = (LOG2 + LOG4) / 2, (LOG2 + np.log(4 / 3)) / 2
    np.testing.assert_allclose(losses.global_discriminator_loss(logits, SOURCE), [source], rtol=1e-6)
    np.testing.assert_allclose(losses.global_discriminator_loss(logits, TARGET), [target], rtol=1e-6)
    np.testing.assert_allclose(losses.global_adversarial_loss(logits), [target], rtol=1e-6)


def test_class_means_average_the_cells_of_each_class():
    # Class 0 has cells (1, 2) and (3, 4): mean (2, 3). Class 1 has (5, 6). Class 2 is absent. One cell is ignored.
    features = tf.constant([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [99.0, 99.0]]]])
    labels = tf.constant([[[0, 0], [1, IGNORE]]])
    means, present = losses.class_means(features, labels, 3)
    np.testing.assert_allclose(means, [[[2, 3], [5, 6], [0, 0]]])
    np.testing.assert_array_equal(present, [[True, True, False]])


def test_fcsa_losses_average_over_present_classes_at_channel_k_or_k_plus_c():
    # c = 2, class 1 absent. Class 0: softmax over 4 channels (1/2, 1/8, 1/4, 1/8): source channel 0, target channel 2.
    logits = logits_of([[[0.5, 0.125, 0.25, 0.125], [0.1, 0.2, 0.3, 0.4]]])
    present = tf.constant([[True, False]])
    np.testing.assert_allclose(losses.fcsa_discriminator_loss(logits, present, SOURCE), [LOG2], rtol=1e-6)
    np.testing.assert_allclose(losses.fcsa_discriminator_loss(logits, present, TARGET), [LOG4], rtol=1e-6)
    np.testing.assert_allclose(losses.fcsa_adversarial_loss(logits, present), [LOG4], rtol=1e-6)


def test_csa_losses_read_channel_k_or_k_plus_c_of_each_valid_cell():
    # c = 2, 1 x 2 cells: the first of class 1 with channels (1/8, 1/2, 1/8, 1/4), the second ignored.
    logits = logits_of([[[[0.125, 0.5, 0.125, 0.25], [0.4, 0.3, 0.2, 0.1]]]])
    labels = tf.constant([[[1, IGNORE]]])
    np.testing.assert_allclose(losses.csa_discriminator_loss(logits, labels, SOURCE), [LOG2], rtol=1e-6)
    np.testing.assert_allclose(losses.csa_discriminator_loss(logits, labels, TARGET), [LOG4], rtol=1e-6)
    np.testing.assert_allclose(losses.csa_adversarial_loss(logits, labels), [LOG4], rtol=1e-6)


def masked(loss, channels):
    rs = np.random.RandomState(0)
    logits = rs.standard_normal((2, 3, 4, channels)).astype("f")
    labels = rs.randint(0, 3, (2, 3, 4)).astype("i4")
    labels[:, 0] = IGNORE
    return logits, labels, loss


@pytest.mark.parametrize(
    ("loss", "channels"),
    [(losses.segmentation_loss, 3), (losses.csa_adversarial_loss, 6)],
    ids=["segmentation", "csa"],
)
def test_ignored_pixels_do_not_change_the_loss(loss, channels):
    logits, labels, _ = masked(loss, channels)
    before = loss(logits, labels).numpy()
    logits[:, 0] = 77.0
    np.testing.assert_array_equal(loss(logits, labels), before)


@pytest.mark.parametrize(
    ("loss", "channels"),
    [(losses.segmentation_loss, 3), (losses.csa_adversarial_loss, 6)],
    ids=["segmentation", "csa"],
)
def test_the_order_of_the_batch_does_not_change_an_images_loss(loss, channels):
    logits, labels, _ = masked(loss, channels)
    np.testing.assert_array_equal(loss(logits[::-1], labels[::-1]), loss(logits, labels)[::-1])


@pytest.mark.parametrize(
    ("loss", "channels"),
    [(losses.segmentation_loss, 3), (losses.csa_adversarial_loss, 6)],
    ids=["segmentation", "csa"],
)
def test_an_image_without_valid_pixels_gives_zero_loss_and_zero_gradient(loss, channels):
    logits = tf.Variable(np.random.RandomState(0).standard_normal((1, 3, 4, channels)).astype("f"))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss(logits, tf.fill([1, 3, 4], IGNORE)))
    assert value == 0
    np.testing.assert_array_equal(tape.gradient(value, logits), np.zeros((1, 3, 4, channels)))


def test_absent_classes_leave_fcsa_finite_and_without_gradient():
    features = tf.Variable(np.random.RandomState(0).standard_normal((1, 2, 2, 5)).astype("f"))
    with tf.GradientTape() as tape:
        means, present = losses.class_means(features, tf.fill([1, 2, 2], IGNORE), 3)
        value = tf.reduce_sum(losses.fcsa_adversarial_loss(tf.concat([means, means], -1)[..., :6], present))
    assert value == 0
    np.testing.assert_array_equal(tape.gradient(value, features), np.zeros((1, 2, 2, 5)))


def test_weights_of_classes_weight_the_mean():
    # P of the true class: 1/2, 1/4, 1/4, and one ignored pixel; classes 1, 0, 1 with weights 3, 1, 3.
    logits = logits_of([[[[0.5, 0.5], [0.25, 0.75]], [[0.75, 0.25], [0.9, 0.1]]]])
    labels = tf.constant([[[1, 0], [1, IGNORE]]])
    expected = (3 * LOG2 + LOG4 + 3 * LOG4) / 7
    np.testing.assert_allclose(losses.segmentation_loss(logits, labels, [1.0, 3.0]), [expected], rtol=1e-6)
    nothing = losses.segmentation_loss(logits, tf.fill((1, 2, 2), IGNORE), [1.0, 3.0], 0.7)
    np.testing.assert_array_equal(nothing, [0.0])


@pytest.mark.parametrize("hard_pixels", [None, 0.7])
@pytest.mark.parametrize("class_weights", [None, [1.0, 3.0]])
def test_a_broken_networks_loss_is_no_number(class_weights, hard_pixels):
    logits = tf.fill((1, 4, 8, 2), np.nan)
    loss = losses.segmentation_loss(logits, tf.ones((1, 4, 8), tf.int32), class_weights, hard_pixels)
    assert np.isnan(loss)


def test_hard_pixels_are_those_of_small_probability_and_at_least_a_sixteenth():
    # 32 pixels: two of P = 1/2, thirty of P = 3/4.
    probs = np.full((1, 4, 8, 2), 0.25)
    probs[..., 1] = 0.75
    probs[0, 0, :2] = 0.5
    logits, labels = logits_of(probs), tf.ones((1, 4, 8), tf.int32)
    np.testing.assert_allclose(losses.segmentation_loss(logits, labels, None, 0.6), [LOG2], rtol=1e-6)
    every = (2 * LOG2 + 30 * np.log(4 / 3)) / 32
    np.testing.assert_allclose(losses.segmentation_loss(logits, labels, None, 0.8), [every], rtol=1e-5)
    np.testing.assert_allclose(losses.segmentation_loss(logits, labels, None, 0.1), [LOG2], rtol=1e-6)  # two pixels
