"""The training loop and its command line.

    python -m ass_tf.train --config configs/gta_csa.json [--set optimiser.lr=1e-4 ...] [--run DIR]

The same command goes on where a killed run stopped. The step itself is `adversary`'s, the run folder `checkpoint`'s.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ass_tf
from ass_tf import config as settings_module
from ass_tf import datasets, files, process, terminal
from ass_tf.config import Config, ConfigError

ADVICE = "The last snapshot is from before; a lower optimiser.lr may help."


class TrainingError(ValueError):
    """Training cannot go on; the message is one line."""


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


def default_run(file: str | Path, config: Config) -> Path:
    """runs/<settings file>-<digest of the settings>: equal settings resume, others never share a folder."""
    digest = hashlib.sha256(settings_module.dump(config).encode()).hexdigest()[:8]
    return Path("runs") / f"{Path(file).stem}-{digest}"


def open_domains(config: Config) -> dict[str, datasets.Domain]:
    """The data by role: source, labelled, unlabelled and validation, as far as the method uses them."""
    return datasets.open_roles(
        config.class_names,
        config.source.model_dump() if config.uses_source else None,
        config.target.model_dump(),
        config.validation.model_dump() if config.validation else None,
        uses_labelled=config.uses_labelled,
        uses_unlabelled=config.uses_unlabelled,
    )


def _write_session(run: Path, config: Config, strategy: Any) -> None:
    """Adds this session to run.json."""
    import keras
    import numpy as np
    import PIL
    import tensorflow as tf

    file = run / "run.json"
    record = json.loads(file.read_text()) if file.exists() else {"sessions": []}
    weights = config.model.weights
    first = "initial_weights" not in record  # later sessions start from snapshots
    record.setdefault("initial_weights", weights or "random")
    if first and weights and Path(weights).is_file():
        record["initial_weights_sha256"] = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    record["sessions"].append(
        {
            "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command": sys.argv,
            "host": platform.node(),
            "replicas": strategy.num_replicas_in_sync,
            "devices": list(strategy.extended.worker_devices),
            "versions": {
                "ass_tf": ass_tf.__version__,
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
                "pillow": PIL.__version__,
            },
        }
    )
    files.write_text(file, json.dumps(record, indent=1) + "\n")


def build_strategy() -> Any:
    """MirroredStrategy over all visible GPUs, or the CPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))] or ["CPU:0"])


def build_game(config: Config, strategy: Any, resumed: bool = False) -> tuple[Any, Any]:
    """Networks, optimisers and step of a run, and the tf.train.Checkpoint of their state; resumed, without weights."""
    import keras
    import tensorflow as tf

    from ass_tf import adversary

    keras.mixed_precision.set_global_policy(config.train.precision)
    keras.utils.set_random_seed(config.seed)
    replicas = strategy.num_replicas_in_sync
    used = {"source": config.uses_source, "labelled": config.uses_labelled, "unlabelled": config.uses_unlabelled}
    for key, count in config.batch.model_dump().items():
        if used[key] and count % replicas:
            raise TrainingError(
                f"batch.{key} must be a multiple of the number of replicas, {replicas} (CUDA_VISIBLE_DEVICES chooses "
                f"the GPUs). Received: {count}."
            )
    with strategy.scope():
        networks = adversary.build_networks(
            config.method,
            len(config.class_names),
            {**config.model.model_dump(), **({"weights": None} if resumed else {})},
            synchronised=replicas > 1,
            **config.discriminators.model_dump(),
        )
        optimisers = adversary.build_optimisers(networks, **config.optimiser.model_dump())
        loss_scale = adversary.LossScale() if config.train.precision == "mixed_float16" else None
    of_target = config.model.batch_norm == "target"
    given = config.method, networks, optimisers, strategy, loss_scale, of_target
    game = adversary.Game(*given, **config.losses.model_dump())
    parts = {**networks._asdict(), **{f"optimiser_{k}": v for k, v in optimisers._asdict().items()}}
    if loss_scale is not None:
        parts |= {"loss_scale": loss_scale.scale, "good_steps": loss_scale.good_steps}
    return game, tf.train.Checkpoint(**{name: part for name, part in parts.items() if part is not None})


def train(config: Config, run: Path, strategy: Any = None) -> dict[str, Any]:
    """Trains, or goes on training, in a run folder.

    Args:
        config: the settings.
        run: the folder; made if it is not there, resumed if it holds a run of the same settings.
        strategy: tf.distribute.Strategy; default `build_strategy()`.

    Returns:
        result: what result.json holds: the scores of the last and the best snapshot.

    Raises:
        ConfigError, DataError, RunFolderError, TrainingError: one line that says what is wrong.
        SystemExit: SIGTERM or Ctrl-C came, and a snapshot was saved.
    """
    from ass_tf import checkpoint

    lock = checkpoint.claim(run, settings_module.dump(config))
    with lock:
        file = run / "result.json"
        if max(checkpoint.snapshots(run), default=0) >= config.train.steps and file.exists():
            print(f"{run}: finished before; nothing is left to do.", flush=True)
            return json.loads(file.read_text(encoding="utf-8"))
        domains = open_domains(config)
        with terminal.show_progress("checking the data") as progress:
            datasets.check(domains, progress)
        checkpoint.write_lists(run, {role: [pair.name for pair in d.pairs] for role, d in domains.items()})

        import tensorflow as tf

        if config.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        state = {"step": 0, "best": None, "last": None, "window": {}, "watch": {}, "unvalidated": False}
        try:
            strategy = strategy or build_strategy()
            game, trackable = build_game(config, strategy, resumed=bool(checkpoint.snapshots(run)))
            state |= checkpoint.restore(run, trackable) or {}
            checkpoint.cut_log(run, state["step"], state["unvalidated"])
            checkpoint.prune(run, state)
            _write_session(run, config, strategy)
            with Interruption() as interruption:
                _loop(config, run, domains, game, trackable, state, interruption)
        except tf.errors.OpError as error:  # a file that became unreadable, a full disk or memory
            raise TrainingError(f"after step {state['step']}: {terminal.reason(error)}") from None
        result = {
            "last": state["last"],
            "best": state["best"],
            "method": config.method,
            "labelled_images": len(domains["labelled"].pairs) if "labelled" in domains else 0,
            "initial_weights": config.model.weights or "random",
        }
        files.write_text(file, files.as_json(result))
        return result


def _loop(config, run, domains, game, trackable, state, interruption) -> None:
    """Steps, records, validations and snapshots up to the last step; keeps `state` up to date."""
    from ass_tf import checkpoint, journal, milestones, pipeline, scoring

    train, start = config.train, state["step"]
    batch = {role: count for role, count in config.batch.model_dump().items() if role in domains}
    dataset = pipeline.training_dataset(domains, batch, config.augmentation.model_dump(), config.seed, start)
    batches = iter(game.strategy.experimental_distribute_dataset(dataset))
    forward = scoring.build_forward(game.networks.generator)
    noted = state["window"], state["watch"]
    if not start:
        _note_features(config, run, "before", forward, domains)
    with journal.Journal(run, train.steps, start, sum(batch.values()), train.log_every, *noted) as log:

        def conclude(step, validate):
            """What a step may end with: validation, snapshot, and the end of the process."""
            if not (validate or step % train.checkpoint_every == 0 or step == train.steps or interruption.signal):
                return
            before = time.perf_counter()
            _refuse_non_finite_weights(step, game.networks)
            if validate:
                given = run, game.networks.generator, forward, domains["validation"], config.class_names
                try:
                    scores, picture = milestones.validate(*given, lambda: interruption.signal)
                except milestones.Interrupted:
                    state["unvalidated"] = True
                else:
                    state.update(unvalidated=False, last={"step": step, **scores})
                    if state["best"] is None or (scores["miou"] or 0) > (state["best"]["miou"] or 0):
                        state["best"] = state["last"]
                    log.validation(step, state["last"], picture)
            checkpoint.save(run, trackable, state)
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
            _refuse_non_finite(step, terms)
            log.step(step, terms, waited)
            state.update(step=step, window=log.window, watch=log.watch)
            validate = "validation" in domains and (step % train.validate_every == 0 or step == train.steps)
            conclude(step, validate)
    _note_features(config, run, "after", forward, domains)


def _refuse_non_finite(step: int, terms: dict[str, float]) -> None:
    for name in (name for name, value in terms.items() if not math.isfinite(value)):
        raise TrainingError(f"step {step}: {name} must be finite. Received: {terms[name]}. {ADVICE}")


def _refuse_non_finite_weights(step: int, networks) -> None:
    """The losses of a step are those before its update; what the update made is looked at before it is saved."""
    import numpy as np

    for name, network in networks._asdict().items():
        for variable in network.weights if network else ():
            if not np.isfinite(variable.numpy()).all():
                weight = f"{name}'s {getattr(variable, 'path', variable.name)}"
                raise TrainingError(f"step {step}: {weight} must be finite after the step. {ADVICE}")


def _note_features(config, run, when, forward, domains) -> None:
    """Notes where the features lie, before the first and after the last step, of a run that knows both domains."""
    from ass_tf import milestones

    count, target = config.train.feature_images, domains.get("validation") or domains.get("labelled")
    if count and target and "source" in domains:
        both = {"source": domains["source"], "target": target}
        milestones.note_features(run / f"features/{when}.npz", forward, both, len(config.class_names), count)


def main(arguments: Sequence[str] | None = None) -> int:
    description = "Train, or go on training, by a settings file."
    parser = argparse.ArgumentParser(prog="python -m ass_tf.train", description=description)
    parser.add_argument("--config", required=True, metavar="FILE", help="settings, e.g. configs/gta_csa.json")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. optimiser.lr=1e-4"
    )
    parser.add_argument("--run", metavar="DIR", help="run folder (default: runs/<file>-<digest of the settings>)")
    options = parser.parse_args(arguments)
    try:
        config = settings_module.load(options.config, options.set)
        run = Path(options.run or default_run(options.config, config))
        print(f"run folder: {run}", flush=True)
        process.start_tensorflow()
        result = train(config, run)
    except ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    except KeyboardInterrupt:
        return terminal.complain("interrupted; the same command goes on from the last snapshot, if there is one.", 130)
    for which in ("last", "best"):
        if result.get(which):
            print(f"{which}: step {result[which]['step']}, mIoU {result[which]['miou'] or 0:.2f}")
    print(f"results: {run / 'result.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
