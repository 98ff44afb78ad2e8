"""A session of training: what a command finds in the run folder, and what it builds to go on from there."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ass_tf import datasets
from ass_tf.config import Config, ConfigError, dump
from ass_tf.runs import claiming, trained
from ass_tf.runs.folder import RunFolder, RunFolderError
from ass_tf.system import storage, trackers
from ass_tf.system.cluster import Cluster

if TYPE_CHECKING:
    from ass_tf.runs.workers import Workers

LABELLED = ("source", "labelled")  # roles that are trained on with labels


class TrainingError(ValueError):
    """Training cannot go on; the message is one line."""


class WorkerLost(TrainingError):
    """Another worker has gone: all must be started again."""


def default_run(file: str | Path, config: Config) -> Path:
    """runs/<settings file>-<digest>, where the digest is of the settings that differ from their defaults.

    Equal settings resume, others never share a folder. A folder that an earlier version made for equal settings, under
    another digest, is found by what it records. Whoever follows a run by a tracker has the same run.
    """
    config = _untracked(config)
    stem, top = Path(file).stem, Path("runs")
    stem = stem.encode()[: storage.LONGEST - 55].decode(errors="ignore")  # other files' names are made of the folder's
    stated = json.dumps(config.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    run = top / f"{stem}-{hashlib.sha256(stated.encode()).hexdigest()[:8]}"
    if run.exists() or not top.is_dir():
        return run
    earlier = re.compile(re.escape(stem) + "-[0-9a-f]{8}")
    return next((p for p in sorted(top.iterdir()) if earlier.fullmatch(p.name) and _records(p, config)), run)


def _records(run: Path, config: Config) -> bool:
    """Whether a folder holds a run of these settings."""
    try:
        return _untracked(RunFolder(run).settings()) == config
    except ConfigError:
        return False


def _untracked(config: Config) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"trackers": ()})})


def resolved(run: RunFolder, config: Config, quiet: bool = False) -> Config:
    """The settings with `train.precision` as a policy of Keras: the one that a run began with, or this machine's best.

    Prints a hint if a run that begins leaves much of the machine unused, unless `quiet`.
    """
    from ass_tf.methods import precision

    begun, policy = bool(run.snapshots()), None
    if begun and config.train.precision == precision.AUTO:
        sessions = run.read_sessions()["sessions"]
        # An earlier one may have saved nothing, so that the run began again with its own.
        policy = next((s["precision"] for s in reversed(sessions) if isinstance(s, dict) and s.get("precision")), None)
    policy = policy or precision.resolve(config.train.precision)
    if not begun and not quiet and (line := precision.hint(config.train.precision)):
        print(f"note: {line}", flush=True)
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": policy})})


def follow(run: RunFolder, config: Config) -> list[trackers.Follower]:
    """Starts the trackers of a run; `config` as `resolved` returns it.

    Raises:
        ValueError: the ids of an earlier session cannot be read.
    """
    name, settings = run.path.absolute().name, config.model_dump(mode="json")
    facts = {"host": platform.node(), **{f"version.{package}": text for package, text in trained.versions().items()}}
    return trackers.follow(config.train.trackers, trackers.Subject(name, run.path, settings, facts))


def write_session(run: RunFolder, config: Config, workers: Workers, changed: dict[str, Any]) -> None:
    """Adds this session to run.json, with the settings that it changed; `config` as `resolved` returns it."""
    record, weights, strategy = run.read_sessions(), config.model.weights, workers.strategy
    if not run.snapshots() or "initial_weights" not in record:  # later sessions start from snapshots
        record.pop("initial_weights_sha256", None)
        record["initial_weights"] = weights or "random"
        if weights and Path(weights).is_file():
            record["initial_weights_sha256"] = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    record["sessions"].append(
        {
            "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command": sys.argv,
            "host": platform.node(),
            "replicas": strategy.num_replicas_in_sync,
            "devices": list(strategy.extended.worker_devices),
            **({"workers": list(workers.cluster.addresses)} if workers.cluster else {}),
            "precision": config.train.precision,
            "versions": trained.versions(),
            **({"changed": changed} if changed else {}),
        }
    )
    run.write_sessions(record)


def build_strategy(cluster: Cluster | None = None) -> Any:
    """MirroredStrategy over all visible GPUs, or the CPU; of several workers over those of all."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if cluster is not None:
        from ass_tf.runs import workers

        return workers.build_strategy(cluster)
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))] or ["CPU:0"])


def build_step(
    config: Config, strategy: Any, facts: Mapping[str, datasets.Facts] = MappingProxyType({}), resumed: bool = False
) -> tuple[Any, Any]:
    """Networks, optimisers and step of a run.

    Args:
        config: the settings.
        strategy: tf.distribute.Strategy.
        facts: what `datasets.check` found, by role, for weights of classes.
        resumed: whether a snapshot will bring all weights, so that none are loaded here.

    Returns:
        step: TrainingStep.
        trackable: tf.train.Checkpoint of everything that the next step depends on.

    Raises:
        ValueError: a batch cannot be divided, or initial weights cannot be read; the message is one line.
    """
    import keras
    import tensorflow as tf

    from ass_tf.methods import objectives, optimisers, precision, self_training
    from ass_tf.methods.loss_scale import LossScale
    from ass_tf.methods.step import TrainingStep
    from ass_tf.models.generator import build_generator
    from ass_tf.weights import initial

    keras.utils.set_random_seed(config.seed)
    replicas = strategy.num_replicas_in_sync
    _check_batches(config, replicas)
    policy = precision.resolve(config.train.precision)
    with strategy.scope(), trained.precision(policy):
        build = partial(build_generator, len(config.class_names), config.model, synchronised=replicas > 1)
        generator = build()
    if not resumed:
        initial.load_initial(generator, config.model)  # whose model of its own need not be on every device
    with strategy.scope(), trained.precision(policy):
        teacher = self_training.Teacher(build(), generator, config.self_training) if config.self_trains else None
        networks = objectives.with_discriminators(generator, config.recipe, config.discriminators)
        movers = optimisers.build_optimisers(networks, config.optimiser)
        loss_scale = LossScale() if policy == "mixed_float16" else None
    weights = datasets.class_weights(_pixels(config, facts), config.losses.class_weights)
    step = TrainingStep(
        networks,
        movers,
        objectives.objectives_of(config.recipe, networks, config.losses, weights),
        strategy,
        loss_scale=loss_scale,
        target_statistics=config.model.batch_norm == "target" and config.uses_target,
        self_training=teacher
        and self_training.SelfTraining(teacher, config.self_training, config.losses, weights, config.seed),
        clip_norm=config.optimiser.clip_norm,
    )
    parts = {**networks._asdict(), **{f"optimiser_{k}": v for k, v in movers._asdict().items()}}
    if teacher is not None:
        parts |= teacher.parts
    if loss_scale is not None:
        parts |= {"loss_scale": loss_scale.scale, "good_steps": loss_scale.good_steps}
    return step, tf.train.Checkpoint(**{name: part for name, part in parts.items() if part is not None})


def rare_classes(config: Config, facts: Mapping[str, datasets.Facts]) -> dict[str, Any]:
    """What rare-class sampling draws from, by role; empty without it."""
    if config.sampling.rare_class is None:
        return {}
    pixels = _pixels(config, facts)
    return {role: datasets.sampling_table(of_role, config.sampling.rare_class) for role, of_role in pixels.items()}


def _pixels(config: Config, facts: Mapping[str, datasets.Facts]) -> dict[str, Any]:
    """Pixels by image and class, (n, c), of the roles that are trained on with labels."""
    return {role: facts[role].pixels[:, : len(config.class_names)] for role in LABELLED if role in facts}


def _check_batches(config: Config, replicas: int) -> None:
    used = {"source": config.uses_source, "labelled": config.uses_labelled, "unlabelled": config.uses_unlabelled}
    for key, count in config.batch.model_dump().items():
        if used[key] and count % replicas:
            raise TrainingError(
                f"batch.{key} must be a multiple of the number of replicas, {replicas} (CUDA_VISIBLE_DEVICES chooses "
                f"the GPUs). Received: {count}."
            )


def finished(run: RunFolder, config: Config) -> dict[str, Any] | None:
    """What a run arrived at that has ended and is not to train longer now; None of another."""
    result = run.read_result(missing=None)
    if result is None:
        return None
    if "train.steps" not in claiming.changes(run, config):
        for which in ("last", "best"):
            if (scores := result.get(which)) is not None and not _is_sound(scores):
                rule = f"{which} must hold the scores of a snapshot"
                raise RunFolderError(f"{run.result}: {rule}. Received: something else.")
        return result
    if not run.snapshots():
        raise RunFolderError(f"{run}: the run has ended and its snapshots are gone, so that it cannot train longer.")
    return None


def _is_sound(scores: Any) -> bool:
    """Whether result.json says of a snapshot what a command tells of it."""
    if not (isinstance(scores, dict) and {"step", "miou", "iou"} <= scores.keys() and isinstance(scores["iou"], dict)):
        return False
    return all(isinstance(value, float | int | None) for value in (scores["miou"], *scores["iou"].values()))


def take_over(run: RunFolder, config: Config, domains: dict[str, datasets.Domain]) -> dict[str, Any]:
    """Brings the folder's records up to these settings and says what they change in a run that goes on.

    Returns:
        changed: dotted setting -> [value before, value now].
    """
    run.read_sessions()  # an error must come before anything is changed
    tables = {role: hashlib.sha256(d.meaning).hexdigest() for role, d in domains.items() if d.pairs[0].label}
    names = {role: [pair.name for pair in domain.pairs] for role, domain in domains.items()}
    changed: dict[str, Any] = {key: list(values) for key, values in claiming.changes(run, config).items()}
    for key, (before, now) in changed.items():
        print(f"note: {key} is {json.dumps(now)} from here on; it was {json.dumps(before)}.", flush=True)
    rejudged = any(re.match(r"validation(?!\.root)", key) for key in changed)
    if "validation" in claiming.write_lists(run, names, tables) or rejudged:
        run.forget_best()
        print("note: the validation is another, so that the best snapshot is chosen again.", flush=True)
    if changed:
        run.keep_result()
        storage.write_text(run.config, dump(config))
    return changed


def build_judge(config: Config, generator: Any) -> Any:
    """A function that returns G's forward pass in float32 (`predictions.build_forward`) with G's present weights."""
    from ass_tf.scoring import predictions

    if config.train.precision == "float32":
        forward = predictions.build_forward(generator)
        return lambda: forward
    twin = trained.build(config)
    forward = predictions.build_forward(twin)

    def judge() -> Any:
        twin.set_weights(generator.get_weights())
        return forward

    return judge
