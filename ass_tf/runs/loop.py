"""The training loop: steps, records, validations and snapshots, in a folder from which a killed run goes on.

Whatever `train.precision` is, validations judge G in float32, as `ass_tf.evaluate` and the exported model have it.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from pathlib import Path
from typing import Any

from ass_tf import datasets
from ass_tf.config import Config
from ass_tf.methods import NORM
from ass_tf.runs import claiming, session
from ass_tf.runs.folder import RunFolder
from ass_tf.runs.session import TrainingError
from ass_tf.system import process, terminal

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


@dataclasses.dataclass
class RunState:
    """How far a run has come; what state.json of a snapshot holds.

    Attributes:
        step: number of steps done.
        best, last: scores of the best and the last validation, ready for JSON, with the step of each.
        window, watch: as in `journal.Journal`.
        unvalidated: the step's validation is still to be done.
        rejudged: the best score is of another validation than the next.
    """

    step: int = 0
    best: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    window: dict[str, Any] = dataclasses.field(default_factory=dict)
    watch: dict[str, Any] = dataclasses.field(default_factory=dict)
    unvalidated: bool = False
    rejudged: bool = False

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> RunState:
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in state.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        state = dataclasses.asdict(self)
        if not self.rejudged:
            del state["rejudged"]
        return state

    def note(self, scores: dict[str, Any]) -> None:
        """Takes in a validation of this step; one without an mIoU is never the best."""
        self.last = {"step": self.step, **scores}
        if self.rejudged:
            self.best = None
        self.unvalidated = self.rejudged = False
        best = (self.best or {}).get("miou")
        if scores["miou"] is not None and (best is None or scores["miou"] > best):
            self.best = self.last


def train(config: Config, run: str | Path, strategy: Any = None) -> dict[str, Any]:
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
    folder = RunFolder(run)
    with claiming.claim(folder, config):
        if (result := session.finished(folder, config)) is not None:
            print(f"{folder}: finished before; nothing is left to do.", flush=True)
            return result
        domains = datasets.open_roles(config)
        with terminal.show_progress("checking the data") as progress:
            facts = datasets.check(domains, progress)
        for line in datasets.unmatched(domains, config.class_names):
            print(f"note: {line}", flush=True)
        state = _train(config, folder, domains, facts, strategy)
        result = {
            "last": state.last,
            "best": state.best,
            "method": config.method,
            "labelled_images": len(domains["labelled"].pairs) if "labelled" in domains else 0,
            "initial_weights": config.model.weights or "random",
        }
        folder.write_result(result)
        return result


def _train(
    config: Config, run: RunFolder, domains: dict[str, Any], facts: dict[str, datasets.Facts], strategy: Any
) -> RunState:
    """The part that needs TensorFlow: builds or restores everything, and trains to the end."""
    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf.runs import journal, snapshots

    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    state = RunState()
    try:
        strategy = strategy or session.build_strategy()
        computed = session.resolved(run, config)
        step, trackable = session.build_step(computed, strategy, facts, resumed=bool(run.snapshots()))
        saved = snapshots.restore(run, trackable)  # a run that cannot go on stays as it is
        changed = session.take_over(run, config, domains)
        if saved is not None:
            state = RunState.from_json(run.state()[1])
        run.cut_log(state.step, state.unvalidated)
        journal.cut_board(run.board, state.step, state.unvalidated)
        snapshots.prune(run, state.to_json())
        session.write_session(run, computed, strategy, changed)
        with Interruption() as interruption:
            _Loop(computed, run, domains, facts, step, trackable, state, interruption).go_on()
    except tf.errors.OpError as error:  # a file that became unreadable, a full disk or memory
        raise TrainingError(f"after step {state.step}: {terminal.reason(error)}") from None
    return state


class _Loop:
    """Steps up to the last one, with what belongs to each; keeps `state` up to date."""

    def __init__(self, config, run, domains, facts, step, trackable, state, interruption) -> None:
        self.config, self.run, self.domains, self.training_step = config, run, domains, step
        self.rare = session.rare_classes(config, facts)
        self.trackable, self.state, self.interruption = trackable, state, interruption
        teacher = step.self_training and step.self_training.teacher.network
        self.judge = session.build_judge(config, teacher or step.networks.generator)

    def go_on(self) -> None:
        """Trains from the state's step to the end."""
        from ass_tf.datasets import pipeline
        from ass_tf.runs import features, journal

        config, state, start = self.config, self.state, self.state.step
        batch = {role: count for role, count in config.batch.model_dump().items() if role in self.domains}
        dataset = pipeline.training_dataset(self.domains, batch, config.augmentation, config.seed, start, self.rare)
        batches = iter(self.training_step.strategy.experimental_distribute_dataset(dataset))
        if not start:
            features.note(self.run, "before", self.judge, self.domains, config)
        with journal.Journal(
            self.run,
            steps=config.train.steps,
            start=start,
            images_per_step=sum(batch.values()),
            log_every=config.train.log_every,
            window=state.window,
            watch=state.watch,
        ) as self.log:
            if start:
                self.log.say(f"{self.run}: going on after step {start}.")
            if state.unvalidated:
                self._conclude(validate=True)
            for _ in range(start, config.train.steps):
                self._take_step(batches, first=state.step == start)
                last = state.step == config.train.steps
                self._conclude("validation" in self.domains and (last or state.step % config.train.validate_every == 0))
        features.note(self.run, "after", self.judge, self.domains, config)

    def _take_step(self, batches: Any, first: bool) -> None:
        train, step = self.config.train, self.state.step + 1
        before = time.perf_counter()
        images = next(batches)
        waited = time.perf_counter() - before
        if first:
            process.keep_freed()  # again: the first batch has undone it (TensorFlow's ApplyPython311MemoryPatch)
        measured = bool(train.shares_every) and step % train.shares_every == 0
        terms = self.training_step.take(images, measured)
        if self.training_step.loss_scale is not None:
            terms = _without_overflow(terms)
        for name in (name for name, value in terms.items() if not math.isfinite(value)):
            raise TrainingError(f"step {step}: {name} must be finite. Received: {terms[name]}. {ADVICE}")
        self.log.step(step, terms, waited)
        self.state.step = step

    def _conclude(self, validate: bool) -> None:
        """What a step may end with: validation, snapshot, and the end of the process."""
        train, state, stop = self.config.train, self.state, self.interruption.signal
        if not (validate or state.step % train.checkpoint_every == 0 or state.step == train.steps or stop):
            return
        from ass_tf.runs import snapshots

        before = time.perf_counter()
        _refuse_non_finite_weights(state.step, self.training_step.networks)
        if validate:
            self._validate()
        snapshots.save(self.run, self.trackable, state.to_json())
        self.log.pause(time.perf_counter() - before)
        stop = self.interruption.signal  # it may have come meanwhile
        if stop and (state.step < train.steps or state.unvalidated):
            self.log.say(f"{self.run}: saved step {state.step}; the same command goes on from there.")
            raise SystemExit(128 + stop)

    def _validate(self) -> None:
        from ass_tf.runs import validation

        try:
            scores, picture = validation.validate(
                self.run,
                self.judge(),
                self.domains["validation"],
                self.config.class_names,
                is_interrupted=lambda: bool(self.interruption.signal),
            )
        except validation.Interrupted:
            self.state.unvalidated = True
        else:
            self.state.note(scores.to_json())
            self.log.validation(self.state.step, scores, picture)


def _without_overflow(terms: dict[str, float]) -> dict[str, float]:
    """A step's terms without the gradients' norms if one of them overflowed: the loss scale skips such a step."""
    norms = {name for name in terms if name.startswith(NORM)}
    sound = all(math.isfinite(terms[name]) for name in norms)
    return terms if sound else {name: value for name, value in terms.items() if name not in norms}


def _refuse_non_finite_weights(step: int, networks: Any) -> None:
    """The losses of a step are those before its update, so the weights that it made are checked, too."""
    import numpy as np

    for name, network in networks._asdict().items():
        for variable in network.weights if network else ():
            if not np.isfinite(variable.numpy()).all():
                weight = f"{name}'s {getattr(variable, 'path', variable.name)}"
                raise TrainingError(f"step {step}: {weight} must be finite after the step. {ADVICE}")
