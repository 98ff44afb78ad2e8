"""Run folders without training, with what a report reads in them; shared by tests and checks."""

import json

import numpy as np
import small_runs
from PIL import Image

from ass_tf import config
from ass_tf.system import storage

METHODS = ("oracle", "joint", "ga", "fcsa", "csa")
NAMES = ["road", "building", "sky", "person", "car"]
TERMS = {
    "segmentation_loss_source": 1.0,
    "segmentation_loss_labelled": 1.5,
    "global_adversarial_loss": 0.7,
    "global_discriminator_accuracy_source": 0.6,
    "global_discriminator_accuracy_unlabelled": 0.8,
}


def confusion(rng, correct, count):
    """A matrix of `count` classes whose diagonal has about this share of each row's pixels."""
    matrix = rng.integers(1, 1000, (count, count))
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, matrix.sum(1) * correct / (1 - correct))
    return matrix


def scores(matrix, step, names):
    from ass_tf.scoring import metrics

    return {"step": step, **metrics.scores_of(matrix, names).to_json()}


def make(folder, method="csa", labelled=20, seed=0, correct=0.6, size=(48, 64), steps=4, pictures=2, **changes):
    """A finished run, of five classes if `changes` of the settings do not say otherwise."""
    rng = np.random.default_rng([seed, labelled if labelled != "all" else 0, METHODS.index(method)])
    plain = {"classes": NAMES, "method": method, "seed": seed, **changes}
    plain = {**small_runs.settings(folder.parent / "scenes"), **plain}
    plain["target"] = {**plain["target"], "labelled": labelled}
    settings = config.from_dict(plain)
    storage.write_text(folder / "config.json", config.dump(settings))
    names = settings.class_names
    moments = (correct, 100 * steps), (correct + 0.05, 100)
    last, best = (scores(confusion(rng, c, len(names)), step, names) for c, step in moments)
    result = {"last": last, "best": best, "method": method, "labelled_images": 40 if labelled == "all" else labelled}
    storage.write_text(folder / "result.json", storage.as_json(result))
    records = [{"step": 100 * (i + 1), **{k: v / (i + 1) for k, v in TERMS.items()}} for i in range(steps)]
    shares = {"segmentation_loss_source": 0.7, "global_adversarial_loss": 0.3}
    records += [{"step": 100 * (i + 1), "gradient_shares": shares} for i in range(steps)]
    records.append({"step": 100, "warning": "global_discriminator has won: it is right <always>"})
    storage.write_text(folder / "log.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    versions = {"tensorflow": "2.21.0", "keras": "3.15.0"}
    session = {
        "started": "2026-11-23T10:00:00+00:00",
        "replicas": 1,
        "devices": ["/device:CPU:0"],
        "versions": versions,
    }
    storage.write_text(folder / "run.json", json.dumps({"initial_weights": "random", "sessions": [session]}))
    for when, shift in (("before", 2.0), ("after", 1.0)):
        (folder / "features").mkdir(exist_ok=True)
        source = rng.normal(size=(len(names), 8)).astype("f")
        target = source + np.float32(shift)
        target[3] = np.nan
        np.savez(folder / f"features/{when}.npz", source=source, target=target)
    draw_pictures(folder / "pictures", size, pictures, rng)
    return folder


def draw_pictures(folder, size, count, rng):
    folder.mkdir(exist_ok=True)
    still = np.random.default_rng(0)  # the same photographs and truths in every run
    for i in range(count):
        blocks = [g.integers(0, len(NAMES), (6, 8)).astype("u1") for g in (still, rng)]
        scale = (size[0] // 6, size[1] // 8)
        truth, prediction = (np.kron(b, np.ones(scale, "u1")) for b in blocks)
        photo = still.integers(0, 256, (6, 8, 3)).astype("u1")
        kinds = {"truth": truth, "prediction": prediction, "image": np.kron(photo, np.ones((*scale, 1), "u1"))}
        for kind, picture in kinds.items():
            Image.fromarray(picture).save(folder / f"{i}_{kind}.png")


def make_sweep(folder, labelled=(20, "all"), seeds=(0, 1), methods=METHODS, **settings):
    """A sweep's folder whose runs are all done."""
    cells = []
    for n in labelled:
        for seed in seeds:
            for method in methods:
                name = f"{method}-{n}-{seed}"
                make(folder / name, method, n, seed, 0.5 + METHODS.index(method) / 20 + seed / 50, **settings)
                cells.append({"name": name, "method": method, "variant": None, "labelled": n, "seed": seed})
                storage.write_text(folder / f"status/{name}.json", json.dumps({"minutes": 2.5, "at": 0}))
    storage.write_text(folder / "sweep.json", json.dumps(cells))
    return folder
