"""What trackers have kept of a run: MLflow's file store, and the files of W&B's offline mode."""

import json
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

BLOCK, HEAD = 32768, 7  # bytes of a .wandb file's blocks, and of the head of the file and of each piece of a record


def paths():
    """Folders in which tests find their modules."""
    root = Path(__file__).parents[2]
    return root, root / "tests/helpers", root / "export"


def environment(**variables):
    """This one without what a developer may have set for trackers."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "WANDB_"))}
    return {**kept, **variables}


def mlflow():
    """The module, or the test is skipped; its file store is allowed."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"], os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true", "true"
    return pytest.importorskip("mlflow")


def _client(store):
    return mlflow().MlflowClient(tracking_uri=store.as_uri())


def runs_of(store, experiment="ass_tf"):
    """All runs of a file store."""
    client = _client(store)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def history(store, run, name):
    """(step, value) of a metric, in the order in which they came."""
    return [(metric.step, metric.value) for metric in _client(store).get_metric_history(run.info.run_id, name)]


def offline_runs(folder):
    """What each session has left, in the order of their beginning: id, name, project, resume, config, history."""
    return [_session(file) for file in sorted(folder.glob("offline-run-*/*.wandb"))]


def _session(file):
    from wandb.proto import wandb_internal_pb2

    found = SimpleNamespace(id=None, history=[])
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.id, found.name, found.project, found.resume = run.run_id, run.display_name, run.project, run.resume
            found.config = {item.key: json.loads(item.value_json) for item in run.config.update}
        elif kind == "history":
            found.history.append(
                {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            )
    return found


def _records(data):
    """Records of a .wandb file, which is a log in LevelDB's format: pieces with checksum, length and kind in blocks."""
    place, whole = HEAD, b""
    while place + HEAD <= len(data):
        left = BLOCK - place % BLOCK
        _, length, kind = struct.unpack_from("<IHB", data, place) if left >= HEAD else (0, 0, 0)
        if not kind:  # the rest of a block is empty
            place += left
            continue
        piece, place = data[place + HEAD : place + HEAD + length], place + HEAD + length
        whole = whole + piece if kind in (3, 4) else piece
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield whole
