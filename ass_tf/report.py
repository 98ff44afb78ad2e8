"""A run or a sweep as one HTML page, and as table.md and table.csv.

    python -m ass_tf.report RUN_OR_SWEEP [--out DIR] [--title TEXT] [--without-pictures]

The page needs no network and no other file. What is read is left to `results`, the tables to `tables`, what is drawn to
`charts`.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
from PIL import Image

import ass_tf
from ass_tf import config, labels
from ass_tf.scoring import alignment
from ass_tf.studies import charts, paper, results, tables
from ass_tf.studies.results import Run
from ass_tf.studies.tables import Table
from ass_tf.system import storage, terminal

WIDEST = 480  # pixels of a picture on the page
TITLES = {None: "all classes", "synthia16": "SYNTHIA's 16 classes", "synthia13": "SYNTHIA's 13 classes"}
PANELS = {  # heading -> terms, each a mean over seeds
    "cross-entropy, source": ["segmentation_loss_source"],
    "cross-entropy, labelled target": ["segmentation_loss_labelled"],
    "global adversarial loss": ["global_adversarial_loss"],
    "semantic adversarial loss": ["fcsa_adversarial_loss", "csa_adversarial_loss"],
    "D_g is right": ["global_discriminator_accuracy_source", "global_discriminator_accuracy_unlabelled"],
    "D_s is right": [
        f"{kind}_discriminator_accuracy_{role}" for kind in ("fcsa", "csa") for role in ("source", "labelled")
    ],
}


class Gallery:
    """The page's pictures, each held once."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # address -> class name

    def add(self, picture: np.ndarray, lossy: bool) -> str:
        """Class name of an element whose background is the picture: uint8 (h, w, 3)."""
        image = Image.fromarray(picture)
        if image.width > WIDEST:
            method = Image.Resampling.LANCZOS if lossy else Image.Resampling.NEAREST
            image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), method)
        data = io.BytesIO()
        if lossy:
            image.save(data, "JPEG", quality=82)
        else:
            image.quantize(256).save(data, "PNG", optimize=True)
        kind = "jpeg" if lossy else "png"
        address = f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
        return self.names.setdefault(address, f"i{len(self.names)}")


def strips(runs: Sequence[Run], gallery: Gallery) -> list[dict[str, Any]]:
    """Rows of panels: image, truth, and the prediction of one run of each method, as in the paper's figure 3."""
    from ass_tf.scoring import pictures

    shown = list({run.label: run for run in reversed(runs) if (run.folder / "pictures").is_dir()}.values())[::-1]
    rows = []
    for index in range(100 if shown else 0):
        needed = [shown[0].folder / f"pictures/{index}_{kind}.png" for kind in ("image", "truth")]
        if not all(f.exists() for f in (*needed, *(r.folder / f"pictures/{index}_prediction.png" for r in shown))):
            break
        palette = labels.colours(shown[0].settings.class_names)

        def opened(run, kind, index=index):
            with Image.open(run.folder / f"pictures/{index}_{kind}.png") as image:
                return np.asarray(image)

        image = opened(shown[0], "image")
        panels = [("truth", pictures.colour(opened(shown[0], "truth"), palette))]
        panels += [(run.label, pictures.colour(opened(run, "prediction"), palette)) for run in shown]
        rows.append(
            {
                "image": gallery.add(image, lossy=True),
                "ratio": f"{image.shape[1]} / {image.shape[0]}",
                "panels": [(name, gallery.add(picture, lossy=False)) for name, picture in panels],
            }
        )
    return rows


def by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.label, []).append(run)
    return found


def mean_curve(runs: Sequence[Run], names: Sequence[str]) -> tuple[list[int], list[float]] | None:
    """Mean over terms and over the runs that have come furthest, at the steps that all of those have."""
    curves = [dict(zip(*run.curve(name))) for run in runs for name in names if run.curve(name)[0]]
    if not curves:
        return None
    furthest = max(map(max, curves))
    curves = [curve for curve in curves if max(curve) == furthest]
    steps = sorted(set.intersection(*map(set, curves)))
    return steps, [float(np.mean([curve[step] for curve in curves])) for step in steps]


def losses_chart(title: str, runs: Sequence[Run]) -> str | None:
    panels = {}
    for heading, terms in PANELS.items():
        lines = {label: mean_curve(mine, terms) for label, mine in by_method(runs).items()}
        lines = {label: line for label, line in lines.items() if line}
        if lines:
            panels[heading] = lines
    bounds = {"D_g is right": (0, 1.05), "D_s is right": (0, 1.05)}
    return charts.curves_of_steps(title, panels, bounds) if panels else None


def shares_chart(title: str, runs: Sequence[Run]) -> str | None:
    """Each term's share of G's gradient: a panel for each method, of its first run that measured them."""
    panels = {}
    for label, mine in by_method(runs).items():
        measured = [run for run in mine if len(run.shares()[1]) > 1]
        if measured:
            steps, shares = measured[0].shares()
            panels[label] = {name.replace("_loss", "").replace("_", " "): (steps, v) for name, v in shares.items()}
    bounds = dict.fromkeys(panels, (0, 1.05))
    return charts.curves_of_steps(title, panels, bounds) if panels else None


def mean_iou_of_classes(runs: Sequence[Run], names: Sequence[str]) -> list[float | None]:
    found = []
    for name in names:
        scores = [score for run in runs if (score := run.last.get("iou", {}).get(name)) is not None]
        found.append(float(np.mean(scores)) if scores else None)
    return found


def distances_table(runs: Sequence[Run], names: Sequence[str]) -> dict[str, Any] | None:
    """Distance between the domains' class means before and after, for each method the mean over seeds."""
    columns = {}
    for label, mine in by_method(runs).items():
        for when in ("before", "after"):
            found = [d for run in mine if (d := run.distances(when)) is not None]
            if found:
                columns[f"{label}, {when}"] = np.mean(found, axis=0)
    if not columns:
        return None
    rows = [(name, [f"{values[i]:.2f}" if np.isfinite(values[i]) else "-" for values in columns.values()])
            for i, name in enumerate(names)]  # fmt: skip
    means = {
        column: values[np.isfinite(values)].mean() for column, values in columns.items() if np.isfinite(values).any()
    }
    rows.append(("mean", [f"{means[column]:.2f}" if column in means else "-" for column in columns]))
    return {"columns": list(columns), "rows": rows}


def shares_of_rows(confusion: np.ndarray) -> list[list[float]]:
    """Of each true class the share of its pixels, in percent, that got each class."""
    totals = confusion.sum(1, keepdims=True)
    return (100 * np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)).tolist()


def planes_chart(runs: Sequence[Run], names: Sequence[str]) -> str | None:
    """Class means in a plane, of the first run that kept some."""
    for run in runs:
        stages = {w: found for w in ("before", "after") if (found := run.features(w)) is not None}
        if stages:
            break
    else:
        return None
    palette = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in labels.colours(names)[: len(names)]]
    return charts.planes(
        f"features of {run.name}", {when: alignment.plane(*found) for when, found in stages.items()}, names, palette
    )


def group(runs: Sequence[Run], gallery: Gallery | None) -> dict[str, Any]:
    """What the page shows of the runs with one number of labels."""
    number = runs[0].labelled
    heading = f"{number} labelled images" + (f" ({runs[0].count})" if number == "all" and runs[0].count else "")
    done = [run for run in runs if run.last]
    names = next((run.settings.class_names for run in runs if run.settings), ())
    scored = {label: mean_iou_of_classes(mine, names) for label, mine in by_method(done).items()}
    confusions = {
        label: sum(np.array(run.last["confusion"]) for run in mine if "confusion" in run.last)
        for label, mine in by_method(done).items()
        if any("confusion" in run.last for run in mine)
    }
    drawn = {label: planes_chart(mine, names) for label, mine in by_method(runs).items()}
    return {
        "heading": heading,
        "bars": charts.bars_of_classes(f"IoU per class, {heading}", scored, names) if scored and names else None,
        "losses": losses_chart(f"losses, {heading}", runs),
        "shares": shares_chart(f"shares of G's gradient, {heading}", runs),
        "names": names,
        "confusions": {label: shares_of_rows(matrix) for label, matrix in confusions.items()},
        "strips": strips(done, gallery) if gallery else [],
        "planes": {label: chart for label, chart in drawn.items() if chart},
        "distances": distances_table(runs, names),
    }


def curve_chart(table: Table) -> str | None:
    """mIoU by number of labels; None of a table with one column."""
    lines, printed = {}, {}
    counts = [count or paper.ALL if n == "all" else count for n, count in zip(table.columns, table.counts)]
    for label, places in table.rows.items():
        found = [(count, p.mean, p.spread or 0.0) for count, p in zip(counts, places) if p.mean is not None]
        known = [(count, p.paper) for count, p in zip(counts, places) if p.paper is not None]
        if found:
            lines[label] = tuple(zip(*found))
        if known and found:
            printed[label] = tuple(zip(*known))
    title = f"mIoU by number of labelled images, {heading_of(table)}"
    return charts.curves_of_labels(title, lines, printed) if len(table.columns) > 1 and lines else None


def heading_of(table: Table) -> str:
    return TITLES.get(table.subset, table.subset)


def settings_of(runs: Sequence[Run]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The settings that all runs share, and those of each run that differ, as JSON."""
    known = {run.name: results.flat(run.settings.model_dump(mode="json")) for run in runs if run.settings}
    texts = {name: {key: json.dumps(value) for key, value in own.items()} for name, own in known.items()}
    keys = list(dict.fromkeys(key for own in texts.values() for key in own))
    shared = {key for key in keys if len({own.get(key) for own in texts.values()}) == 1}
    first = next(iter(texts.values()), {})
    apart = {name: {key: own.get(key, "") for key in keys if key not in shared} for name, own in texts.items()}
    return {key: first[key] for key in keys if key in shared}, apart


def page(title: str, runs: Sequence[Run], with_pictures: bool = True) -> str:
    """The HTML of a report."""
    gallery = Gallery() if with_pictures else None
    found = [(heading_of(table), table) for table in tables.tables(runs)]
    groups = [group([r for r in runs if r.labelled == n], gallery) for n in tables.columns_of(runs)]
    shared, apart = settings_of(runs)
    names = next((run.settings.class_names for run in runs if run.settings), ())
    palette = labels.colours(names)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ass_tf.studies", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        title=title,
        runs=runs,
        tables=found,
        curves={heading: curve for heading, table in found if (curve := curve_chart(table))},
        groups=groups,
        legend=[(name, "#{:02x}{:02x}{:02x}".format(*palette[i])) for i, name in enumerate(names)],
        gallery={name: address for address, name in gallery.names.items()} if gallery else {},
        shared=shared,
        apart=apart,
        apart_keys=list(next(iter(apart.values()), {})),
        version=ass_tf.__version__,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ass_tf.report", description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", type=terminal.path, metavar="RUN_OR_SWEEP", help="a run's folder, or one that holds runs"
    )
    parser.add_argument(
        "--out", type=terminal.path, metavar="DIR", help="folder of the results (default: report/ in it)"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page (default: the folder's name)")
    parser.add_argument("--without-pictures", action="store_true", help="no images of the data sets on the page")
    options = parser.parse_args(arguments)
    out = options.out or options.folder / "report"
    try:
        storage.check_folder(out, "--out", config.ConfigError)
        runs = results.read(options.folder)
        text = page(options.title or options.folder.resolve().name, runs, not options.without_pictures)
        printed = "\n".join(f"{heading_of(table)}\n\n{tables.as_markdown(table)}" for table in tables.tables(runs))
        storage.write_text(out / "table.md", printed)
        storage.write_text(out / "table.csv", tables.as_csv(runs))
        storage.write_text(out / "index.html", text)
    except config.ConfigError as error:
        return terminal.complain(error, 2)
    except (ValueError, OSError) as error:
        return terminal.complain(error, 1)
    print(printed)
    print(f"{out / 'index.html'} ({len(text.encode()) / 2**20:.1f} MB), table.md, table.csv")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
