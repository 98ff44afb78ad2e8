"""Scores the runs of `check_select.py` on photographs of the pool that neither choice labels, by drive.

    python tests/checks/check_select_drives.py --out DIR [--camvid DIR] [--draws 5] [--seeds 3]

All of camvid/val is of one drive; the pool, camvid/train, is of three. With --camvid, each finished run in --out that
has its snapshots is scored on the drive of camvid/val, on the other drives and on both, and a row of by_drive.csv is
kept for each; rows that are there already are not made again. The command then prints what the chosen photographs
change, from by_drive.csv alone: the mean over draws and seeds of mIoU and of each class's IoU, and the standard
deviation over draws of their means over seeds.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
from pathlib import Path

import check_select
import numpy as np

from ass_tf.scoring import metrics
from ass_tf.system import storage

FIRST = ["choice", "draw", "seed", "drives", "images", "miou"]  # columns before the classes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--camvid", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.out = options.out.resolve()
    table = options.out / "by_drive.csv"
    rows = list(csv.DictReader(table.open(newline=""))) if table.exists() else []
    if options.camvid:
        for draw in range(options.draws):
            for kind, seed in [(kind, seed) for seed in range(options.seeds) for kind in check_select.KINDS]:
                run = check_select.run_of(kind, draw, seed, options)
                known = any((row["choice"], row["draw"], row["seed"]) == (kind, str(draw), str(seed)) for row in rows)
                if not known and (run / "result.json").exists() and (run / "snapshots").exists():
                    rows += scored(kind, draw, seed, options)
                    save(rows, table)
    if not rows:
        raise SystemExit(f"{table}: no scores are there, and no run to make them of; give --camvid.")
    report(rows)


def scored(kind, draw, seed, options):
    """A row for the drive of camvid/val, one for the other drives and one for both."""
    rows, total = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for drives, names in free(draw, options).items():
            file = Path(folder) / "photographs.txt"
            file.write_text("".join(f"{name}\n" for name in names))
            words = ["ass_tf.evaluate", "--run", check_select.run_of(kind, draw, seed, options), "--snapshot", "last"]
            words += ["--strips", "0", "--worst", "0", "--out", Path(folder) / drives]
            check_select.call([*words, "--data", "split=train", f"list={file}"])
            found = json.loads((Path(folder) / drives / "result.json").read_text())["last"]
            confusion = np.array(found["confusion"])
            total = total + confusion
            rows.append(row(kind, draw, seed, drives, len(names), confusion, list(found["iou"])))
    rows.append(row(kind, draw, seed, "all", sum(one["images"] for one in rows), total, list(found["iou"])))
    print(f"{kind}-{draw}-{seed}: " + ", ".join(f"{one['drives']} {one['miou']}" for one in rows), flush=True)
    return rows


def row(kind, draw, seed, drives, images, confusion, classes):
    scores = metrics.scores_of(confusion, classes)
    ious = {name: round(iou, 2) for name, iou in scores.iou.items()}
    values = [kind, str(draw), str(seed), drives, images, round(scores.miou, 2)]
    return dict(zip(FIRST, values)) | ious


def free(draw, options):
    """Names of the photographs that no run of a draw has labels of, under the names of their drives."""
    of_val = {drive_of(name) for name in names_in(options.camvid / "val" / "images")}
    runs = [check_select.run_of("random", draw, seed, options) for seed in range(options.seeds)]
    found = [run / "data/labelled.txt" for run in runs if (run / "data/labelled.txt").exists()]  # same for each seed
    if not found:
        raise SystemExit(f"{options.out}: no random run of draw {draw} has its data/labelled.txt.")
    labelled = listed(check_select.list_of(draw, options)) | listed(found[0])
    groups = {}
    for name in names_in(options.camvid / "train" / "images"):
        if name not in labelled:
            groups.setdefault(drive_of(name) in of_val, []).append(name)
    return {", ".join(sorted({drive_of(name) for name in names})): names for _, names in sorted(groups.items())}


def drive_of(name):
    return name.split("_")[0]


def names_in(folder):
    return sorted(file.stem for file in folder.iterdir())


def listed(file):
    lines = [line.strip() for line in file.read_text().splitlines()]
    return {Path(line).stem for line in lines if line and not line.startswith("#")}


def save(rows, table):
    rows.sort(key=lambda one: (one["choice"], int(one["draw"]), int(one["seed"]), one["drives"]))
    with storage.replacing(table) as unfinished, unfinished.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def report(rows):
    """Prints how much better the chosen photographs are, for each group of drives."""
    columns = [name for name in rows[0] if name == "miou" or name not in FIRST]
    for drives in dict.fromkeys(one["drives"] for one in rows):
        values = {(one["choice"], one["draw"], one["seed"]): one for one in rows if one["drives"] == drives}
        pairs = [key[1:] for key in values if key[0] == "random" and ("select", *key[1:]) in values]
        draws = sorted({draw for draw, _ in pairs})
        print(f"{drives}: {len(pairs)} pairs of {len(draws)} draws")
        for column in columns:
            means = {kind: [] for kind in check_select.KINDS}
            for kind in check_select.KINDS:
                for draw in draws:
                    each = [float(values[kind, one, seed][column]) for one, seed in pairs if one == draw]
                    means[kind].append(statistics.mean(each))
            print(check_select.line("mIoU" if column == "miou" else column, means))


if __name__ == "__main__":
    sys.exit(main())
