"""A run's step, as its settings make it."""

import pytest
from small_runs import settings

from ass_tf import config
from ass_tf.runs import session


@pytest.mark.parametrize(("labelled", "weight", "expected"), [(2, 0, True), (0, 0, False), (0, 1, True)])
def test_source_makes_the_statistics_where_g_sees_no_photograph(labelled, weight, expected, tmp_path):
    plain = settings(tmp_path, method="joint", self_training={"weight": weight})
    plain["target"]["labelled"], plain["model"]["batch_norm"] = labelled, "target"
    game, _ = session.build_step(config.from_dict(plain), session.build_strategy())
    assert game.target_statistics is expected
