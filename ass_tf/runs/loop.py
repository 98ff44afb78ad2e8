"""The training loop: steps, records, validations and snapshots, in a folder from which a killed run goes on.

Whatever `train.precision` is, validations judge G in float32, as `ass_tf.evaluate` and the exported model have it.
"""

from __future__ import annotations

import contextlib
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
from ass_tf.runs.session import TrainingError, WorkerLost
from ass_tf.system import process, terminal, trackers
from ass_tf.system.cluster import Cluster

ADVICE = "The last snapshot is from before; a lower optimiser.lr may help."


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


def train(config: Config, run: str | Path, strategy: Any = None, cluster: Cluster | None = None) -> dict[str, Any]:
    """Trains, or goes on training, in a run folder.

    Args:
        config: the settings.
        run: the folder; made if it is not there, resumed if it holds a run whose settings differ in nothing that would
            change a weight. Several workers share it, and the first writes.
        strategy: tf.distribute.Strategy; default `session.build_strategy(cluster)`.
        cluster: the workers of the run, of which this process is one; None: it is the only one.

    Returns:
        result: what result.json holds: the scores of the last and the best snapshot.

    Raises:
        ConfigError, DataError, RunFolderError, TrainingError, MissingPackage: one line that says what is wrong.
        SystemExit: SIGTERM or Ctrl-C came, and a snapshot was saved.
    """
    folder, chief = RunFolder(run), cluster is None or cluster.index == 0
    with claiming.claim(folder, config) if chief else contextlib.nullcontext():
        if (result := session.finished(folder, config)) is not None:
            print(f"{folder}: finished before; nothing is left to do.", flush=True)
            return result
        if chief:
            trackers.require(config.train.trackers)
        domains = datasets.open_roles(config)
        with terminal.show_progress("checking the data") if chief else contextlib.nullcontext() as progress:
            facts = datasets.check(domains, progress)
        for line in datasets.unmatched(domains, config.class_names) if chief else ():
            print(f"note: {line}", flush=True)
        return _train(config, folder, domains, facts, strategy, cluster)


def _train(
    config: Config,
    run: RunFolder,
    domains: dict[str, Any],
    facts: dict[str, datasets.Facts],
    strategy: Any,
    cluster: Cluster | None,
) -> dict[str, Any]:
    """The part that needs TensorFlow: builds or restores everything, and trains to the end."""
    process.start_tensorflow()
    import tensorflow as tf

    from ass_tf.runs import journal, snapshots
    from ass_tf.runs.workers import Workers, check_alike

    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    state, workers = RunState(), None
    try:
        workers = Workers(strategy or session.build_strategy(cluster), cluster)
        computed = session.resolved(run, config, quiet=not workers.is_chief)
        check_alike(workers, computed, domains, facts, max(run.snapshots(), default=0))
        with process.uncollected():
            step, trackable = session.build_step(computed, workers.strategy, facts, resumed=bool(run.snapshots()))
        saved = snapshots.restore(run, trackable)  # a run that cannot go on stays as it is
        workers.wait()  # all have read what the chief may change now
        changed = session.take_over(run, config, domains) if workers.is_chief else {}
        workers.wait()
        if saved is not None:
            state = RunState.from_json(run.state()[1])
        if workers.is_chief:
            run.cut_log(state.step, state.unvalidated)
            journal.cut_board(run.board, state.step, state.unvalidated)
            snapshots.prune(run, state.to_json())
            session.write_session(run, computed, workers, changed)
        with process.Interruption() as interruption:
            _Loop(computed, run, domains, facts, step, trackable, state, interruption, workers).go_on()
        result = {
            "last": state.last,
            "best": state.best,
            "method": config.method,
            "labelled_images": len(domains["labelled"].pairs) if "labelled" in domains else 0,
            "initial_weights": config.model.weights or "random",
        }
        if workers.is_chief:
            run.write_result(result)
        workers.wait()
    except tf.errors.OpError as error:  # a file that became unreadable, a full disk or memory, a worker that is gone
        if workers and (line := workers.lost(error)):
            raise WorkerLost(f"after step {state.step}: {line}; start all workers again.") from None
        raise TrainingError(f"after step {state.step}: {terminal.reason(error)}") from None
    return result


class _Loop:
    """Steps up to the last one, with what belongs to each; keeps `state` up to date."""

    def __init__(self, config, run, domains, facts, step, trackable, state, interruption, workers) -> None:
        self.workers, self.agreed = workers, False  # whether a worker was asked to stop, as all know
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
        strategy, chief = self.workers.strategy, self.workers.is_chief

        def dataset(_):
            of = self.workers.replicas, strategy.num_replicas_in_sync
            return pipeline.training_dataset(
                self.domains, batch, config.augmentation, config.seed, start, self.rare, *of
            )

        batches = iter(strategy.distribute_datasets_from_function(dataset))
        if not start and chief:
            features.note(self.run, "before", self.judge, self.domains, config)
        settings = {
            "steps": config.train.steps,
            "start": start,
            "images_per_step": sum(batch.values()),
            "log_every": config.train.log_every,
            "window": state.window,
            "watch": state.watch,
        }
        if chief:
            settings["followers"] = session.follow(self.run, config)
        with journal.Journal(self.run, **settings) if chief else journal.Quiet() as self.log:
            if start:
                self.log.say(f"{self.run}: going on after step {start}.")
            if state.unvalidated or self._ends_unjudged():
                self._conclude(validate=True)
            for _ in range(start, config.train.steps):
                self._take_step(batches, first=state.step == start)
                last = state.step == config.train.steps
                self._conclude("validation" in self.domains and (last or state.step % config.train.validate_every == 0))
        if chief:
            features.note(self.run, "after", self.judge, self.domains, config)

    def _ends_unjudged(self) -> bool:
        """Whether the last step's snapshot has no score: the run is to be shorter now, or its validation is another."""
        state = self.state
        judged = not state.rejudged and (state.last or {}).get("step") == state.step
        return "validation" in self.domains and state.step == self.config.train.steps and not judged

    @property
    def stop(self) -> int | None:
        """The signal to stop by; of several workers when all know that one of them has it."""
        own = self.interruption.signal
        return own if self.workers.count == 1 else (own or signal.SIGTERM) if self.agreed else None

    def _take_step(self, batches: Any, first: bool) -> None:
        train, step = self.config.train, self.state.step + 1
        before = time.perf_counter()
        images = next(batches)
        waited = time.perf_counter() - before
        if first:
            process.keep_freed()  # again: the first batch has undone it (TensorFlow's ApplyPython311MemoryPatch)
        measured = bool(train.shares_every) and step % train.shares_every == 0
        with process.uncollected() if first else contextlib.nullcontext():  # TensorFlow records the step
            terms = self.training_step.take(images, measured, bool(self.interruption.signal))
        self.agreed |= self.training_step.stopping
        if self.training_step.loss_scale is not None:
            terms = _without_overflow(terms)
        for name in (name for name, value in terms.items() if not math.isfinite(value)):
            raise TrainingError(f"step {step}: {name} must be finite. Received: {terms[name]}. {ADVICE}")
        self.log.step(step, terms, waited)
        self.state.step = step

    def _conclude(self, validate: bool) -> None:
        """What a step may end with: validation, snapshot, and the end of the process."""
        train, state = self.config.train, self.state
        if not (validate or state.step % train.checkpoint_every == 0 or state.step == train.steps or self.stop):
            return
        from ass_tf.runs import snapshots

        before = time.perf_counter()
        _refuse_non_finite_weights(state.step, self.training_step.networks)
        if validate:
            self._validate()
        if self.workers.is_chief:
            snapshots.save(self.run, self.trackable, state.to_json())
        self.workers.wait()  # none ends before it is saved
        self.log.pause(time.perf_counter() - before)
        stop = self.stop  # it may have come meanwhile
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
                workers=self.workers,
            )
        except validation.Interrupted:
            self.state.unvalidated = self.agreed = True
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
