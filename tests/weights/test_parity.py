"""The package computes what PyTorch does with the same weights: modules, optimisers, and the whole method."""

import pytest

pytest.importorskip("torch", reason="PyTorch is not here: make test-torch")

import parity

pytestmark = pytest.mark.slow  # those that are here run under `make test-torch`


@pytest.mark.parametrize("measure", parity.MEASURES)
def test_figures_agree_with_pytorch(measure):
    figures = parity.MEASURES[measure]()
    assert figures == {name: pytest.approx(0, abs=parity.limit(name)) for name in figures}


@pytest.mark.parametrize("wrong", [{"lambda_gadv": 0.5}, {"lambda_sadv": 0.5}, {"direction": "target_to_source"}])
def test_a_wrong_term_would_be_seen(wrong):
    _, theirs = parity.build_games("csa", (6, 12), {}, parity.STRONG)
    ours, _ = parity.build_games("csa", (6, 12), {}, {**parity.STRONG, **wrong})
    start, batch = parity.weights_of_theirs(theirs), parity.draw_batch(0)
    ours.take(batch)
    parity.step_of_theirs(theirs, batch)
    movement = parity.apart(parity.weights_of(ours), parity.weights_of_theirs(theirs), start)[1]
    assert movement > 3 * parity.limit("one step: movement")


def test_a_full_resnet101_from_a_pytorch_file_computes_its_logits(tmp_path):
    assert parity.resnet101(tmp_path, size=(256, 512))[0] < 1e-4
