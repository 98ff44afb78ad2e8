"""How often discriminators are right, and when a warning comes."""

import numpy as np
import pytest
import tensorflow as tf

from ass_tf.labels import IGNORE, SOURCE, TARGET
from ass_tf.methods import diagnosis

HEALTHY, WON, LOST = 0.8, 0.995, 0.5


def test_global_accuracy_counts_the_cells_of_the_right_domain():
    # Cells: source, source, target, undecided; the last counts for the source.
    logits = tf.constant([[[[2.0, 1.0], [0.5, 0.0]], [[0.0, 3.0], [0.0, 0.0]]]])
    assert diagnosis.global_accuracy(logits, SOURCE).numpy() == pytest.approx([0.75])
    assert diagnosis.global_accuracy(logits, TARGET).numpy() == pytest.approx([0.25])


def test_semantic_accuracy_asks_for_the_domain_whatever_the_class():
    # Two classes. Cell 0: e^1 + e^1 > e^1.5 + e^-9 (source, though one target output is highest); cell 1: target.
    logits = tf.constant([[[[1.0, 1.0, 1.5, -9.0], [0.0, 0.0, 0.0, 1.0], [9.0, 0.0, 0.0, 0.0]]]])
    labels = tf.constant([[[1, 0, IGNORE]]])
    assert diagnosis.semantic_accuracy(logits, labels, SOURCE).numpy() == pytest.approx([0.5])
    assert diagnosis.semantic_accuracy(logits, labels == 1, SOURCE).numpy() == pytest.approx([1.0])
    assert diagnosis.semantic_accuracy(logits, labels == 1, TARGET).numpy() == pytest.approx([0.0])


def test_an_image_in_which_nothing_takes_part_counts_as_chance():
    logits = tf.constant(np.full((1, 2, 2, 4), [9.0, 0, 0, 0], "f"))
    assert diagnosis.semantic_accuracy(logits, tf.fill([1, 2, 2], IGNORE), SOURCE).numpy() == [0.5]


def records(accuracy, name="global_discriminator"):
    return {f"{name}_accuracy_source": accuracy, f"{name}_accuracy_unlabelled": accuracy, f"{name}_loss_source": 1.0}


@pytest.mark.parametrize(("accuracy", "verdict"), [(WON, "won"), (LOST, "lost")])
def test_500_steps_won_or_lost_give_one_warning(accuracy, verdict):
    watch = diagnosis.Watch({})
    warnings = [watch.update(records(accuracy), 50) for _ in range(30)]
    assert [i for i, found in enumerate(warnings) if found] == [9]
    assert warnings[9][0].startswith(f"global_discriminator has {verdict}: ")
    assert f"{accuracy:.1%} for 500 steps" in warnings[9][0]


def test_one_healthy_record_starts_the_count_afresh_and_domains_are_averaged():
    watch = diagnosis.Watch({})
    for accuracy in [WON] * 9 + [HEALTHY] + [WON] * 9:
        assert watch.update(records(accuracy), 50) == []
    assert len(watch.update(records(WON), 50)) == 1
    assert (
        watch.update({"csa_discriminator_accuracy_source": 1.0, "csa_discriminator_accuracy_labelled": 0.5}, 900) == []
    )


def test_a_resumed_watch_goes_on_counting():
    watch = diagnosis.Watch({})
    watch.update(records(WON, "csa_discriminator"), 450)
    warnings = diagnosis.Watch(dict(watch.state)).update(records(WON, "csa_discriminator"), 50)
    assert len(warnings) == 1
    assert "losses.lambda_sadv" in warnings[0]


def test_methods_without_discriminators_are_never_warned_about():
    assert diagnosis.Watch({}).update({"segmentation_loss_source": 0.0}, 9999) == []
