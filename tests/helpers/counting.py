"""A training step that only counts, and the command that trains with it."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from ass_tf import train
from ass_tf.methods import objectives
from ass_tf.runs import session


class Generator:
    """Gives its images back."""

    def __init__(self):
        self.weights = [tf.Variable([0.0, 1.0], name="kernel")]

    def __call__(self, images, training):
        return images, images


class Counting:
    """Stands in for a TrainingStep: its weight is the number of steps done, and so is its loss."""

    def __init__(self, before_step):
        self.strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        self.self_training = None
        self.networks = objectives.Networks(Generator(), None, None)
        self.done, self.before_step = tf.Variable(0), before_step
        self.stopping = False

    def take(self, batch, measure_shares, stop=False):
        self.before_step(int(self.done) + 1, batch)
        self.done.assign_add(1)
        return {"count_loss": float(self.done)}


@pytest.fixture
def command(file, tmp_path, monkeypatch, capsys):
    """Runs the command line with a game that counts; `at` maps a step to what happens in it."""

    def call(*words, at=None, run=tmp_path / "run", spoilt=None, game=Counting):
        def before_step(step, batch):
            (at or {}).get(step, lambda batch: None)(batch)
            if step == spoilt:
                call.game.networks.generator.weights[0].assign([0.0, float("nan")])

        def build_step(config, strategy, facts, resumed):
            call.resumed, call.game = resumed, game(before_step)
            call.game.loss_scale = None if game is Counting else object()
            return call.game, tf.train.Checkpoint(done=call.game.done, ballast=tf.Variable(tf.zeros([50_000])))

        monkeypatch.setattr(session, "build_step", build_step)
        words = ["method=joint", "validation=null", "train.deterministic=false", "train.feature_images=0", *words]
        try:
            status = train.main(["--config", str(file), *(["--run", str(run)] if run else []), "--set", *words])
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if not line.startswith("checking the data")]
        return SimpleNamespace(status=status, out=out, err=errors, run=run)

    return call
