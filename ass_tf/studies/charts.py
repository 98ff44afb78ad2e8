"""Curves, bars and planes as SVG that takes its text's colour from the page, light or dark."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ass_tf.config.methods import METHODS
from ass_tf.system import storage

# Told apart by readers who see few colours, on white and on black alike. Source: Okabe and Ito 2008, a little lighter.
COLOURS = {method.title: method.colour for method in METHODS.values()}
OTHERS = ("#b5a400", "#d1491f", "#56b4e9", "#7a5cc4", "#3f7f2b", "#a0522d", "#008b8b", "#b03060")
Curve = tuple[Sequence[int], Sequence[float]]  # numbers, values
Means = tuple[Sequence[int], Sequence[float], Sequence[float]]  # numbers, means, spreads
INK, GRID = "#010203", "#040506"  # stand for the page's own colours until the text is written
LONGEST = 40  # letters of a name in a chart
STYLE: Any = {  # Any: matplotlib's types spell out each key
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "lines.linewidth": 1.6,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": GRID, "grid.color": GRID, "axes.grid": True, "axes.axisbelow": True,
    "axes.facecolor": "none", "figure.facecolor": "none", "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False,
    "text.parse_math": False,  # names of classes may have dollar signs
}  # fmt: skip


def svg(figure: Figure, title: str) -> str:
    """A figure as an element of a page: no size of its own, no names that clash with another figure's."""
    mark = "c" + hashlib.sha256(title.encode(errors="replace")).hexdigest()[:12]
    drawn = io.BytesIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": mark}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the browser has other fonts
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(drawn.getvalue())
    for metadata in root.findall("{*}metadata"):
        root.remove(metadata)
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {name for value in values for name in re.findall(r"(?:^|url\()#([\w-]+)", value)}
    for element in root.iter():
        given = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.tag = element.tag.rpartition("}")[2]  # HTML knows the elements without their name space
        element.attrib.clear()
        element.attrib.update((key, _of_page(key, value, mark)) for key, value in given.items())
        if given.get("id") not in used:
            element.attrib.pop("id", None)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": storage.shown(title, len(title))})
    return ElementTree.tostring(root, encoding="unicode")


def _of_page(key: str, value: str, mark: str) -> str:
    """An attribute's value with names of this figure only, and the page's colours and font."""
    if key == "id":
        return f"{mark}-{value}"
    value = re.sub(r"(^|url\()#([\w-]+)", rf"\1#{mark}-\2", value) if key == "href" or "url(" in value else value
    value = value.replace(INK, "currentColor").replace(GRID, "var(--line)")
    return re.sub(r"(font-family: |font: [^;']*)'[^;]*", r"\1system-ui, sans-serif", value)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A method has the same colour in every chart; other names get the rest in their order."""
    others = [name for name in names if name not in COLOURS]
    return {**COLOURS, **{name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}}


def _figure(width: float, height: float, margins: Sequence[float], columns: int = 1, rows: int = 1, gap: float = 0.0):
    """A figure and its axes, in inches: margins left, right, top and bottom, and the gap between rows.

    Matplotlib's own layouts take longer than all the rest.
    """
    left, right, top, bottom = margins
    figure = Figure((width, height))
    each = (height - top - bottom - gap * (rows - 1)) / rows
    grid = figure.add_gridspec(
        rows, columns, left=left / width, right=1 - right / width, top=1 - top / height, bottom=bottom / height,
        hspace=gap / each, wspace=0.16,
    )  # fmt: skip
    return figure, [figure.add_subplot(grid[i]) for i in range(rows * columns)]


def _short(name: str, longest: int = LONGEST) -> str:
    """A name on one line, without its middle if it is too long."""
    name = storage.shown(name, len(name))
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def _grid(names: Iterable[str], width: float) -> tuple[int, int]:
    """Columns and rows of a legend as wide as the figure, in inches."""
    lengths = [len(_short(name)) for name in names]
    columns = max(1, min(5, len(lengths), int(width / (0.45 + 0.085 * max(lengths, default=0)))))
    return columns, -(-len(lengths) // columns)


def _legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    """The names of lines or bars, above the axes."""
    names = list(handles)
    columns, _ = _grid(names, figure.get_figwidth())
    artists, blank = list(handles.values()), [" "] * len(names)
    drawn = figure.legend(artists, blank, ncols=columns, loc="upper left", borderaxespad=0.2)
    for text, name in zip(drawn.get_texts(), names):
        text.set_text(_short(name))  # as a label, one that begins with an underscore would be left out


def curves_of_labels(title: str, lines: Mapping[str, Means], paper: Mapping[str, Curve]) -> str:
    """mIoU against the number of labelled images.

    Args:
        title: of the figure.
        lines: method -> numbers, means, spreads (0 where there is none).
        paper: method -> numbers, mIoU; drawn dashed.
    """
    colour_of, handles = colours(list(lines)), {}
    rows = _grid([*lines, *(f"{method}, paper" for method in paper)], 7)[1]
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = _figure(7, 3.9 + 0.22 * rows, (0.6, 0.1, 0.15 + 0.22 * rows, 0.5))
        ticks = sorted({count for counts, _, _ in lines.values() for count in counts})
        linear = min(filter(None, ticks), default=2) / 2  # the axis is logarithmic from here on
        for i, (method, (counts, means, spreads)) in enumerate(lines.items()):
            aside = 0.03 * (i - (len(lines) - 1) / 2)  # so that the spreads at one number can be told apart
            places = [count + aside * max(count, linear) for count in counts]
            colour = colour_of[method]
            handles[method] = axes.errorbar(places, means, spreads, color=colour, marker="o", markersize=4, capsize=3)
            if method in paper:
                (handles[f"{method}, paper"],) = axes.plot(*paper[method], "--", color=colour, linewidth=1)
        axes.set_xscale("symlog", linthresh=linear)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("labelled target images")
        axes.set_ylabel("mIoU, %")
        _legend(figure, handles)
    return svg(figure, title)


def bars_of_classes(title: str, scores: Mapping[str, Sequence[float | None]], names: Sequence[str]) -> str:
    """IoU of each class, a bar for each method: method -> IoU in percent, None where a class has none."""
    thick, colour_of, handles = 0.8 / max(len(scores), 1), colours(list(scores)), {}
    shown, top = [_short(name, 30) for name in names], 0.13 + 0.22 * _grid(scores, 7)[1]
    with matplotlib.rc_context(STYLE):
        left = 0.2 + 0.085 * max(map(len, shown), default=0)
        height = 0.55 + top + len(names) * (0.16 + 0.13 * len(scores))
        figure, (axes,) = _figure(7, height, (left, 0.15, top, 0.5))
        places = np.arange(len(names))
        for i, (method, values) in enumerate(scores.items()):
            lengths = np.array([np.nan if value is None else value for value in values], float)
            offset = (i - (len(scores) - 1) / 2) * thick
            handles[method] = axes.barh(places + offset, lengths, thick, color=colour_of[method])
        axes.set_yticks(places, shown)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("IoU, %")
        axes.grid(axis="y", visible=False)
        _legend(figure, handles)
    return svg(figure, title)


def curves_of_steps(title: str, panels: Mapping[str, Mapping[str, Curve]], bounds: Mapping[str, tuple]) -> str:
    """Small panels of curves over the steps.

    Args:
        title: of the figure.
        panels: heading -> name of a line -> steps, values. The same name has the same colour in each.
        bounds: heading -> limits of its axis; default those of the values, from 0.
    """
    names, handles = list(dict.fromkeys(name for lines in panels.values() for name in lines)), {}
    colour_of, rows, top = colours(names), -(-len(panels) // 2), 0.43 + 0.22 * _grid(names, 8)[1]
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _figure(8, 0.3 + top + 2.2 * rows, (0.45, 0.1, top, 0.5), 2, rows, gap=0.55)
        for axes, (heading, lines) in zip(all_axes, panels.items()):
            for name, (steps, values) in lines.items():
                marker = None if len(steps) > 1 else "o"
                (handles[name],) = axes.plot(steps, values, color=colour_of[name], marker=marker)
            axes.set_title(_short(heading), fontsize=10, loc="left")
            axes.set_ylim(*bounds.get(heading, (0, None)))
        for axes in all_axes[len(panels) :]:
            axes.set_axis_off()
        order = sorted(handles, key=[*COLOURS, *handles].index)  # the first panels may lack the first method
        _legend(figure, {name: handles[name] for name in order})
        figure.supxlabel("step", fontsize=10)
    return svg(figure, title)


def planes(
    title: str, stages: Mapping[str, tuple[np.ndarray, np.ndarray, float]], names: Sequence[str], palette: Sequence[str]
) -> str:
    """Class means of both domains in a plane, joined by a line.

    Args:
        title: of the figure.
        stages: heading -> source (c, 2), target (c, 2), share of the variance that the plane keeps.
        names: the class set.
        palette: colour of each class.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure, all_axes = _figure(4.4 * len(stages), 4.0, (0.1, 0.1, 0.35, 0.1), len(stages))
        for axes, (heading, (source, target, kept)) in zip(all_axes, stages.items()):
            both = np.stack([source, target], 1)  # (c, 2 domains, 2)
            axes.add_collection(LineCollection(list(both), colors=palette, linewidths=1, zorder=1))
            axes.scatter(*source.T, 42, color=palette, zorder=2)
            axes.scatter(*target.T, 42, facecolors="none", edgecolors=palette, linewidths=1.6, zorder=2)
            for name, place in zip(names, np.where(np.isfinite(target), target, source)):
                if np.isfinite(place).all():
                    axes.annotate(_short(name, 20), place, (4, 4), textcoords="offset points", fontsize=8)
            axes.set_title(f"{heading} ({kept:.0%} of the variance)", fontsize=10, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.margins(0.15)
            axes.set_aspect("equal", adjustable="datalim")
    return svg(figure, title)
