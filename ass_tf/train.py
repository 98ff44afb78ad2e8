"""The training loop and its command line.

    python -m ass_tf.train --config configs/gta_csa.json [--set optimiser.lr=1e-4 ...] [--run DIR]

The same command goes on where a killed run stopped. The step itself is `adversary`'s, the run folder `run_folder`'s.
Whatever `train.precision` is, validations judge G in float32, as `ass_tf.evaluate` and the exported model have it.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ass_tf import config as settings_module
from ass_tf import datasets
from ass_tf.config import Config, ConfigError
from ass_tf.runs import folder as run_folder
from ass_tf.runs import session
from ass_tf.system import process, storage, terminal

ADVICE = "The last snapshot is from before; a lower optimiser.lr may help."


class Interruption:
    """Notes SIGTERM and Ctrl-C, so that the loop can save first; another Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Interruption:
        self.before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def train(config: Config, run: Path, strategy: Any = None) -> dict[str, Any]:
    """Trains, or goes on training, in a run folder.

    Args:
        config: the settings.
        run: the folder; made if it is not there, resumed if it holds a run whose settings differ in nothing that would
            change a weight.
        strategy: tf.distribute.Strategy; default `session.build_strategy()`.

    Returns:
        result: what result.json holds: the scores of the last and the best snapshot.

    Raises:
        ConfigError, DataError, RunFolderError, TrainingError: one line that says what is wrong.
        SystemExit: SIGTERM or Ctrl-C came, and a snapshot was saved.
    """
    with run_folder.claim(run, config):
        if (result := session.finished(run, config)) is not None:
            print(f"{run}: finished before; nothing is left to do.", flush=True)
            return result
        domains = session.open_domains(config)
        with terminal.show_progress("checking the data") as progress:
            datasets.check(domains, progress)
        for line in datasets.unmatched(domains, config.class_names):
            print(f"note: {line}", flush=True)
        result = _train(config, run, domains, strategy)
        storage.write_text(run / "result.json", storage.as_json(result))
        return result


def _train(config, run, domains, strategy) -> dict[str, Any]:
    """The part that needs TensorFlow: builds or restores everything, trains, and returns the result."""
    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf.runs import journal, snapshots

    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    state = {"step": 0, "best": None, "last": None, "window": {}, "watch": {}, "unvalidated": False}
    try:
        strategy = strategy or session.build_strategy()
        game, trackable = session.build_game(config, strategy, resumed=bool(run_folder.snapshots(run)))
        snapshots.restore(run, trackable)  # a run that cannot go on stays as it is
        changed = session.take_over(run, config, domains)
        state |= run_folder.state_of(run)[1] if run_folder.snapshots(run) else {}
        run_folder.cut_log(run, state["step"], state["unvalidated"])
        journal.cut_board(run, state["step"], state["unvalidated"])
        snapshots.prune(run, state)
        session.write_session(run, config, strategy, changed)
        with Interruption() as interruption:
            _loop(config, run, domains, game, trackable, state, interruption)
    except tf.errors.OpError as error:  # a file that became unreadable, a full disk or memory
        raise session.TrainingError(f"after step {state['step']}: {terminal.reason(error)}") from None
    return {
        "last": state["last"],
        "best": state["best"],
        "method": config.method,
        "labelled_images": len(domains["labelled"].pairs) if "labelled" in domains else 0,
        "initial_weights": config.model.weights or "random",
    }


def _loop(config, run, domains, game, trackable, state, interruption) -> None:
    """Steps, records, validations and snapshots up to the last step; keeps `state` up to date."""
    from ass_tf.datasets import pipeline
    from ass_tf.runs import journal, milestones, snapshots

    train, start = config.train, state["step"]
    batch = {role: count for role, count in config.batch.model_dump().items() if role in domains}
    dataset = pipeline.training_dataset(domains, batch, config.augmentation.model_dump(), config.seed, start)
    batches = iter(game.strategy.experimental_distribute_dataset(dataset))
    judge = session.build_judge(config, game.networks.generator)
    noted = state["window"], state["watch"]
    if not start:
        _note_features(config, run, "before", judge, domains)
    with journal.Journal(run, train.steps, start, sum(batch.values()), train.log_every, *noted) as log:

        def conclude(step, validate):
            """What a step may end with: validation, snapshot, and the end of the process."""
            if not (validate or step % train.checkpoint_every == 0 or step == train.steps or interruption.signal):
                return
            before = time.perf_counter()
            _refuse_non_finite_weights(step, game.networks)
            if validate:
                given = run, game.networks.generator, judge(), domains["validation"], config.class_names
                try:
                    scores, picture = milestones.validate(*given, lambda: interruption.signal)
                except milestones.Interrupted:
                    state["unvalidated"] = True
                else:
                    _note_scores(state, step, scores)
                    log.validation(step, state["last"], picture)
            snapshots.save(run, trackable, state)
            log.pause(time.perf_counter() - before)
            if interruption.signal and (step < train.steps or state["unvalidated"]):
                log.say(f"{run}: saved step {step}; the same command goes on from there.")
                raise SystemExit(128 + interruption.signal)

        if start:
            log.say(f"{run}: going on after step {start}.")
        if state["unvalidated"]:
            conclude(start, validate=True)
        for step in range(start + 1, train.steps + 1):
            before = time.perf_counter()
            images = next(batches)
            waited = time.perf_counter() - before
            if step == start + 1:
                process.keep_freed()  # again: the first batch has undone it (TensorFlow's ApplyPython311MemoryPatch)
            measured = train.shares_every and step % train.shares_every == 0
            terms = {name: float(value) for name, value in game.step(images, bool(measured)).items()}
            if game.loss_scale is not None:
                terms = _without_overflow(terms)
            _refuse_non_finite(step, terms)
            log.step(step, terms, waited)
            state.update(step=step, window=log.window, watch=log.watch)
            validate = "validation" in domains and (step % train.validate_every == 0 or step == train.steps)
            conclude(step, validate)
    _note_features(config, run, "after", judge, domains)


def _note_scores(state: dict[str, Any], step: int, scores: dict[str, Any]) -> None:
    """Takes a validation's scores into the state; one without an mIoU is never the best."""
    state.update(unvalidated=False, last={"step": step, **scores})
    if state.pop("rejudged", False):
        state["best"] = None
    best = (state["best"] or {}).get("miou")
    if scores["miou"] is not None and (best is None or scores["miou"] > best):
        state["best"] = state["last"]


def _without_overflow(terms: dict[str, float]) -> dict[str, float]:
    """A step's terms without the gradients' norms if one of them overflowed: the loss scale skips such a step."""
    norms = {name for name in terms if name.startswith("gradient_norm_")}
    sound = all(math.isfinite(terms[name]) for name in norms)
    return terms if sound else {name: value for name, value in terms.items() if name not in norms}


def _refuse_non_finite(step: int, terms: dict[str, float]) -> None:
    for name in (name for name, value in terms.items() if not math.isfinite(value)):
        raise session.TrainingError(f"step {step}: {name} must be finite. Received: {terms[name]}. {ADVICE}")


def _refuse_non_finite_weights(step: int, networks) -> None:
    """The losses of a step are those before its update; what the update made is looked at before it is saved."""
    import numpy as np

    for name, network in networks._asdict().items():
        for variable in network.weights if network else ():
            if not np.isfinite(variable.numpy()).all():
                weight = f"{name}'s {getattr(variable, 'path', variable.name)}"
                raise session.TrainingError(f"step {step}: {weight} must be finite after the step. {ADVICE}")


def _note_features(config, run, when, judge, domains) -> None:
    """Notes where the features lie, before the first and after the last step, of a run that knows both domains."""
    from ass_tf.runs import milestones

    count, target = config.train.feature_images, domains.get("validation") or domains.get("labelled")
    if count and target and "source" in domains:
        both = {"source": domains["source"], "target": target}
        milestones.note_features(run / f"features/{when}.npz", judge(), both, len(config.class_names), count)


def main(arguments: Sequence[str] | None = None) -> int:
    description = "Train, or go on training, by a settings file."
    parser = argparse.ArgumentParser(prog="python -m ass_tf.train", description=description)
    parser.add_argument(
        "--config", type=terminal.path, required=True, metavar="FILE", help="settings, e.g. configs/gta_csa.json"
    )
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. optimiser.lr=1e-4"
    )
    parser.add_argument(
        "--run", type=terminal.path, metavar="DIR", help="run folder (default: runs/<file>-<digest of the settings>)"
    )
    options = parser.parse_args(arguments)
    try:
        config = settings_module.load(options.config, options.set)
        run = Path(session.default_run(options.config, config) if options.run is None else options.run)
        print(f"run folder: {run}", flush=True)
        result = train(config, run)
    except ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    except KeyboardInterrupt:
        return terminal.complain("interrupted; the same command goes on from the last snapshot, if there is one.", 130)
    for which in ("last", "best"):
        if result.get(which):
            print(f"{which}: step {result[which]['step']}, mIoU {terminal.mean_of(result[which])}")
    print(f"results: {run / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
