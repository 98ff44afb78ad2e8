"""A session of training: what a command finds in the run folder, and what it builds to go on from there.

The loop itself is `train`'s.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import sys
from pathlib import Path
from typing import Any

import ass_tf
from ass_tf import config as settings_module
from ass_tf import datasets
from ass_tf.config import Config, ConfigError
from ass_tf.runs import folder as run_folder
from ass_tf.runs import trained
from ass_tf.runs.folder import RunFolderError
from ass_tf.system import storage


class TrainingError(ValueError):
    """Training cannot go on; the message is one line."""


def default_run(file: str | Path, config: Config) -> Path:
    """runs/<settings file>-<digest>, where the digest is of the settings that differ from their defaults.

    Equal settings resume, others never share a folder. A folder that an earlier version made for equal settings, under
    another digest, is found by what it records.
    """
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
        return settings_module.load_record(run / "config.json") == config
    except ConfigError:
        return False


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


def _history(run: Path) -> dict[str, Any]:
    """What run.json tells of earlier sessions."""
    file = run / "run.json"
    record = storage.read_json(file, RunFolderError, missing={"sessions": []})
    if not isinstance(record.get("sessions"), list):
        raise RunFolderError(f"{file}: sessions must be a list. Received: {json.dumps(record.get('sessions'))}.")
    return record


def write_session(run: Path, config: Config, strategy: Any, changed: dict[str, Any]) -> None:
    """Adds this session to run.json, with the settings that it changed."""
    import keras
    import numpy as np
    import PIL
    import tensorflow as tf

    record, weights = _history(run), config.model.weights
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
            **({"changed": changed} if changed else {}),
        }
    )
    storage.write_text(run / "run.json", json.dumps(record, indent=1) + "\n")


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

    from ass_tf.methods import adversary

    keras.utils.set_random_seed(config.seed)
    replicas = strategy.num_replicas_in_sync
    used = {"source": config.uses_source, "labelled": config.uses_labelled, "unlabelled": config.uses_unlabelled}
    for key, count in config.batch.model_dump().items():
        if used[key] and count % replicas:
            raise TrainingError(
                f"batch.{key} must be a multiple of the number of replicas, {replicas} (CUDA_VISIBLE_DEVICES chooses "
                f"the GPUs). Received: {count}."
            )
    with strategy.scope(), trained.precision(config.train.precision):
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


def finished(run: Path, config: Config) -> dict[str, Any] | None:
    """What a run arrived at that has ended and is not to train longer now; None of another."""
    if not (run / "result.json").exists():
        return None
    result = storage.read_json(run / "result.json", RunFolderError)
    changed = run_folder.changes(run, config)
    if "train.steps" not in changed:
        return result
    if not run_folder.snapshots(run):
        raise RunFolderError(f"{run}: the run has ended and its snapshots are gone, so that it cannot train longer.")
    return None


def take_over(run: Path, config: Config, domains: dict[str, datasets.Domain]) -> dict[str, Any]:
    """Brings the folder's records up to these settings and says what they change in a run that goes on.

    Returns:
        changed: dotted setting -> [value before, value now].
    """
    _history(run)  # one that cannot be read is told before anything is changed
    tables = {role: hashlib.sha256(d.table.tobytes()).hexdigest() for role, d in domains.items() if d.pairs[0].label}
    names = {role: [pair.name for pair in domain.pairs] for role, domain in domains.items()}
    changed: dict[str, Any] = {key: list(values) for key, values in run_folder.changes(run, config).items()}
    for key, (before, now) in changed.items():
        print(f"note: {key} is {json.dumps(now)} from here on; it was {json.dumps(before)}.", flush=True)
    rejudged = any(re.match(r"validation(?!\.root)", key) for key in changed)
    if rejudged:
        run_folder.forget_best(run)
    if "validation" in run_folder.write_lists(run, names, tables) or rejudged:
        print("note: the validation is another, so that the best snapshot is chosen anew.", flush=True)
    if changed:
        run_folder.keep_result(run)
        storage.write_text(run / "config.json", settings_module.dump(config))
    return changed


def build_judge(config: Config, generator: Any) -> Any:
    """A function that gives G's forward pass in float32 as `scoring.build_forward`, with G's weights of the moment."""
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
