"""The settings files that reproduce: the paper's decisions, what its base code runs, and either direction."""

import json

import pytest
import small_runs

from ass_tf import config
from ass_tf.config import schema
from ass_tf.methods import objectives, optimisers
from ass_tf.models.generator import build_generator, variables_of

CONFIGS = small_runs.ROOT / "configs"


def resolved(name):
    return flat(config.load(CONFIGS / f"{name}.json").model_dump(mode="json"))


def flat(section, above=""):
    """Nested settings as dotted key -> value."""
    found = {}
    for key, value in section.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {above + key: value}
    return found


def differing(name, other):
    """What the second preset sets otherwise than the first."""
    first, second = resolved(name), resolved(other)
    return {key: value for key, value in second.items() if first.get(key) != value}


def test_the_papers_preset_leaves_no_decision_to_a_default():
    stated = json.loads((CONFIGS / "paper.json").read_text())
    options = {"generator_options", "discriminator_options"}
    for name in ("losses", "optimiser", "model", "discriminators", "batch", "augmentation"):
        assert set(stated[name]) == set(schema.Config.model_fields[name].annotation.model_fields) - options


def test_the_gta_experiments_are_the_papers_preset():
    # null stands for the weight of each method, which the preset spells out for CSA.
    assert differing("paper", "gta_csa") == {"losses.lambda_sadv": None}
    assert differing("paper", "gta_ga") == {"losses.lambda_sadv": None, "method": "ga"}


def test_the_other_presets_change_what_their_names_say():
    released = {"model.rates": [6, 12], "optimiser.nesterov": False, "optimiser.backbone_multiplier": 3.0}
    backwards = {"losses.direction": "target_to_source"}
    assert differing("paper", "as_released") == released
    assert differing("paper", "paper_target_to_source") == backwards
    unsupervised = {"method": "ga", "target.labelled": 0, "losses.lambda_sadv": None, **backwards}
    assert differing("as_released", "adaptsegnet") == unsupervised


@pytest.mark.parametrize(
    ("preset", "branches", "rate", "nesterov", "moves_source"),
    [
        ("paper", 4, 2.5e-4, True, True),
        ("paper_target_to_source", 4, 2.5e-4, True, False),
        ("as_released", 2, 7.5e-4, False, True),
        ("adaptsegnet", 2, 7.5e-4, False, False),
    ],
)
def test_a_preset_reaches_the_networks_and_the_step(preset, branches, rate, nesterov, moves_source):
    small = ["model.backbone=tiny", "model.weights=null", "discriminators.global_width=2"]
    settings = config.load(CONFIGS / f"{preset}.json", small)
    generator = build_generator(19, settings.model)
    networks = objectives.with_discriminators(generator, settings.recipe, settings.discriminators)
    movers = optimisers.build_optimisers(networks, settings.optimiser)
    segmentation, adversary = objectives.objectives_of(settings.recipe, networks, settings.losses)[:2]
    assert len(variables_of(networks.generator)[1]) == 2 * branches  # kernel and bias
    assert [float(o.learning_rate) for o in movers[:2]] == pytest.approx([rate, 2.5e-3])
    assert [o.nesterov for o in movers[:2]] == [nesterov] * 2
    assert [o.l2 for o in movers[:2]] == [5e-4] * 2
    assert adversary.moves == ("source" if moves_source else "unlabelled",)
    adam = movers.global_discriminator
    assert (float(adam.learning_rate), adam.beta_1, adam.beta_2, adam.epsilon) == pytest.approx((1e-4, 0.9, 0.99, 1e-8))
    assert (segmentation.settings.lambda_seg, adversary.weight, adversary.weight_of_discriminator) == (1.0, 0.001, 1.0)
    assert settings.losses.lambda_sd == 1.0
