"""The page of a report: HTML that needs no network and no other file."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

import ass_tf
from ass_tf import labels
from ass_tf.config.methods import METHODS
from ass_tf.scoring import alignment, pictures
from ass_tf.studies import charts, paper, results, tables
from ass_tf.studies.results import Run
from ass_tf.studies.tables import Table

WIDEST = 480  # pixels of a picture on the page
SEMANTIC = dict.fromkeys(kind for method in METHODS.values() for kind in method.adversaries if kind != "global")
PANELS = {  # heading -> terms, each a mean over seeds
    "cross-entropy, source": ["segmentation_loss_source"],
    "cross-entropy, labelled target": ["segmentation_loss_labelled"],
    "global adversarial loss": ["global_adversarial_loss"],
    "semantic adversarial loss": [f"{kind}_adversarial_loss" for kind in SEMANTIC],
    "D_g is right": ["global_discriminator_accuracy_source", "global_discriminator_accuracy_unlabelled"],
    "D_s is right": [f"{kind}_discriminator_accuracy_{role}" for kind in SEMANTIC for role in ("source", "labelled")],
}
SHARE = (0, 1.05)  # limits of the axis of a share


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


def by_label(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each method and variant, in their order."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.label, []).append(run)
    return found


def first_of_each_label(runs: Sequence[Run]) -> list[Run]:
    return [mine[0] for mine in by_label(runs).values()]


def strips(runs: Sequence[Run], gallery: Gallery) -> list[dict[str, Any]]:
    """Rows of panels: image, truth, and the prediction of one run of each method, as in the paper's figure 3."""
    shown = first_of_each_label([run for run in runs if run.folder.picture(0, "prediction").exists()])
    rows = []
    for image, *maps in _pictures(shown):
        palette = labels.colours(_class_names(shown))
        coloured = [pictures.colour(label_map, palette) for label_map in maps]
        names = ["truth", *(run.label for run in shown)]
        rows.append(
            {
                "image": gallery.add(image, lossy=True),
                "ratio": f"{image.shape[1]} / {image.shape[0]}",
                "panels": [(name, gallery.add(picture, lossy=False)) for name, picture in zip(names, coloured)],
            }
        )
    return rows


def _pictures(runs: Sequence[Run]) -> Iterator[list[np.ndarray]]:
    """Image, truth and each run's prediction of one image after the other, as long as no file is missing."""
    for index in itertools.count() if runs else ():
        files = [runs[0].folder.picture(index, kind) for kind in ("image", "truth")]
        files += [run.folder.picture(index, "prediction") for run in runs]
        if not all(file.exists() for file in files):
            return
        yield [_opened(file) for file in files]


def _opened(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def mean_curve(runs: Sequence[Run], names: Sequence[str]) -> charts.Curve | None:
    """Mean over terms and over the runs that have come furthest, at the steps that all of those have."""
    curves = [dict(zip(*run.curve(name))) for run in runs for name in names if run.curve(name)[0]]
    if not curves:
        return None
    furthest = max(map(max, curves))
    curves = [curve for curve in curves if max(curve) == furthest]
    steps = sorted(set.intersection(*map(set, curves)))
    return steps, [float(np.mean([curve[step] for curve in curves])) for step in steps]


def losses_chart(title: str, runs: Sequence[Run]) -> str | None:
    """Losses, and how often the discriminators are right, over the steps; None where no run logged any."""
    panels = {}
    for heading, terms in PANELS.items():
        curves = {label: mean_curve(mine, terms) for label, mine in by_label(runs).items()}
        if lines := {label: curve for label, curve in curves.items() if curve}:
            panels[heading] = lines
    return charts.curves_of_steps(title, panels, {"D_g is right": SHARE, "D_s is right": SHARE}) if panels else None


def shares_chart(title: str, runs: Sequence[Run]) -> str | None:
    """Each term's share of G's gradient: a panel for each method, of its first run that measured them."""
    panels = {}
    for run in first_of_each_label([run for run in runs if len(run.shares()[1]) > 1]):
        steps, shares = run.shares()
        panels[run.label] = {name.replace("_loss", "").replace("_", " "): (steps, v) for name, v in shares.items()}
    return charts.curves_of_steps(title, panels, dict.fromkeys(panels, SHARE)) if panels else None


def mean_iou_of_classes(runs: Sequence[Run], names: Sequence[str]) -> list[float | None]:
    """IoU of each class in percent, mean over the runs; None where no run has one."""
    scores = [[s for run in runs if (s := run.last.get("iou", {}).get(name)) is not None] for name in names]
    return [float(np.mean(found)) if found else None for found in scores]


def distances_table(runs: Sequence[Run], names: Sequence[str]) -> dict[str, Any] | None:
    """Distance between the domains' class means before and after, for each method the mean over seeds."""
    columns = {}
    for label, mine in by_label(runs).items():
        for when in ("before", "after"):
            found = [d for run in mine if (d := run.distances(when)) is not None]
            if found:
                columns[f"{label}, {when}"] = np.mean(found, axis=0)
    if not columns:
        return None
    rows = [(name, [values[i] for values in columns.values()]) for i, name in enumerate(names)]
    finite = [values[np.isfinite(values)] for values in columns.values()]
    rows.append(("mean", [values.mean() if len(values) else np.nan for values in finite]))
    texts = [(name, [f"{value:.2f}" if np.isfinite(value) else "-" for value in values]) for name, values in rows]
    return {"columns": list(columns), "rows": texts}


def shares_of_rows(confusion: np.ndarray) -> list[list[float]]:
    """Of each true class the share of its pixels, in percent, that got each class."""
    totals = confusion.sum(1, keepdims=True)
    return (100 * np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)).tolist()


def planes_chart(runs: Sequence[Run], names: Sequence[str]) -> str | None:
    """Class means in a plane, of the first run that kept some."""
    for run in runs:
        kept = {when: found for when in ("before", "after") if (found := run.features(when)) is not None}
        if kept:
            planes = {when: alignment.plane(*found) for when, found in kept.items()}
            return charts.planes(f"features of {run.name}", planes, names, _hex_colours(names))
    return None


def _hex_colours(names: Sequence[str]) -> list[str]:
    """Colour of each class, as #rrggbb."""
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in labels.colours(names)[: len(names)]]


def group(runs: Sequence[Run], gallery: Gallery | None) -> dict[str, Any]:
    """What the page shows of the runs with one number of labels."""
    number = runs[0].labelled
    heading = f"{number} labelled images" + (f" ({runs[0].count})" if number == "all" and runs[0].count else "")
    done = [run for run in runs if run.last]
    names = _class_names(runs)
    scored = {label: mean_iou_of_classes(mine, names) for label, mine in by_label(done).items()}
    confusions = by_label([run for run in done if "confusion" in run.last])
    drawn = {label: planes_chart(mine, names) for label, mine in by_label(runs).items()}
    return {
        "heading": heading,
        "bars": charts.bars_of_classes(f"IoU per class, {heading}", scored, names) if scored and names else None,
        "losses": losses_chart(f"losses, {heading}", runs),
        "shares": shares_chart(f"shares of G's gradient, {heading}", runs),
        "names": names,
        "confusions": {
            label: shares_of_rows(np.sum([run.last["confusion"] for run in mine], axis=0))
            for label, mine in confusions.items()
        },
        "strips": strips(done, gallery) if gallery else [],
        "planes": {label: chart for label, chart in drawn.items() if chart},
        "distances": distances_table(runs, names),
    }


def curve_chart(table: Table) -> str | None:
    """mIoU by number of labels; None of a table with one column."""
    lines: dict[str, charts.Means] = {}
    printed: dict[str, charts.Curve] = {}
    counts = [count or paper.ALL if n == "all" else count for n, count in zip(table.columns, table.counts)]
    for label, places in table.rows.items():
        found = [(count, p.mean, p.spread or 0.0) for count, p in zip(counts, places) if p.mean is not None]
        known = [(count, p.paper) for count, p in zip(counts, places) if p.paper is not None]
        if found:
            numbers, means, spreads = zip(*found)
            lines[label] = numbers, means, spreads
            if known:
                numbers, values = zip(*known)
                printed[label] = numbers, values
    title = f"mIoU by number of labelled images, {table.heading}"
    return charts.curves_of_labels(title, lines, printed) if len(table.columns) > 1 and lines else None


def settings_of(runs: Sequence[Run]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The settings that all runs share, and those of each run that differ, as JSON."""
    known = {run.name: results.flat(run.settings.model_dump(mode="json")) for run in runs if run.settings}
    texts = {name: {key: json.dumps(value) for key, value in own.items()} for name, own in known.items()}
    keys = list(dict.fromkeys(key for own in texts.values() for key in own))
    shared = {key for key in keys if len({own.get(key) for own in texts.values()}) == 1}
    first = next(iter(texts.values()), {})
    apart = {name: {key: own.get(key, "") for key in keys if key not in shared} for name, own in texts.items()}
    return {key: first[key] for key in keys if key in shared}, apart


def _class_names(runs: Sequence[Run]) -> Sequence[str]:
    """The class set of the runs, which is one; empty where none has settings."""
    return next((run.settings.class_names for run in runs if run.settings), ())


def page(title: str, runs: Sequence[Run], with_pictures: bool = True) -> str:
    """The HTML of a report."""
    gallery = Gallery() if with_pictures else None
    found = tables.tables(runs)
    groups = [group([r for r in runs if r.labelled == n], gallery) for n in tables.columns_of(runs)]
    shared, apart = settings_of(runs)
    names = _class_names(runs)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ass_tf.studies", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        title=title,
        runs=runs,
        tables=found,
        curves={table.heading: curve for table in found if (curve := curve_chart(table))},
        groups=groups,
        legend=list(zip(names, _hex_colours(names))),
        gallery={name: address for address, name in gallery.names.items()} if gallery else {},
        shared=shared,
        apart=apart,
        apart_keys=list(next(iter(apart.values()), {})),
        version=ass_tf.__version__,
    )
