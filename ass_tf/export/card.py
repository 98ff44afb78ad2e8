"""The model card that an exported model carries: what someone who gets the model alone must know."""

from __future__ import annotations

import json
from pathlib import Path

import ass_tf
from ass_tf import config, labels
from ass_tf.runs import trained


def description(
    run: str | Path, settings: config.Config, which: str, step: int, network: str | None = None
) -> dict[str, str]:
    """What an exported model carries with it, as text; lists and settings are JSON.

    Returns:
        entries: `class_names`, `train_ids` and `colours` ([red, green, blue] each) in one order; `ignore`, the id of
            pixels that take no part; `size`, [height, width] of the images that the model was judged on; `settings`,
            the whole config.json; `run`, `snapshot`, `step`, with self-training `network`; `ass_tf_version`.
    """
    names = settings.class_names
    return {
        "class_names": json.dumps(list(names)),
        "train_ids": json.dumps(list(range(len(names)))),
        "colours": json.dumps(labels.colours(names)[: len(names)].tolist()),
        "ignore": str(labels.IGNORE),
        "size": json.dumps(trained.judged_size(settings)),
        "settings": json.dumps(settings.model_dump(mode="json")),
        "run": Path(run).resolve().name,
        "snapshot": which,
        "step": str(step),
        **({"network": trained.network_of(settings, network)} if settings.self_trains else {}),
        "ass_tf_version": ass_tf.__version__,
    }
