"""When a warning says that a discriminator has won or lost."""

import pytest

from ass_tf.methods.watch import Watch

HEALTHY, WON, LOST = 0.8, 0.995, 0.5


def records(accuracy, name="global_discriminator"):
    return {f"{name}_accuracy_source": accuracy, f"{name}_accuracy_unlabelled": accuracy, f"{name}_loss_source": 1.0}


@pytest.mark.parametrize(("accuracy", "verdict"), [(WON, "won"), (LOST, "lost")])
def test_500_steps_won_or_lost_give_one_warning(accuracy, verdict):
    watch = Watch({})
    warnings = [watch.update(records(accuracy), 50) for _ in range(30)]
    assert [i for i, found in enumerate(warnings) if found] == [9]
    assert warnings[9][0].startswith(f"global_discriminator has {verdict}: ")
    assert f"{accuracy:.1%} for 500 steps" in warnings[9][0]


def test_one_healthy_record_starts_the_count_afresh_and_domains_are_averaged():
    watch = Watch({})
    for accuracy in [WON] * 9 + [HEALTHY] + [WON] * 9:
        assert watch.update(records(accuracy), 50) == []
    assert len(watch.update(records(WON), 50)) == 1
    assert (
        watch.update({"csa_discriminator_accuracy_source": 1.0, "csa_discriminator_accuracy_labelled": 0.5}, 900) == []
    )


def test_a_resumed_watch_goes_on_counting():
    watch = Watch({})
    watch.update(records(WON, "csa_discriminator"), 450)
    warnings = Watch(dict(watch.state)).update(records(WON, "csa_discriminator"), 50)
    assert len(warnings) == 1
    assert "losses.lambda_sadv" in warnings[0]


def test_methods_without_discriminators_are_never_warned_about():
    assert Watch({}).update({"segmentation_loss_source": 0.0}, 9999) == []
