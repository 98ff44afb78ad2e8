"""Curves, bars and planes as SVG that takes its text's colour from the page, light or dark.

What is drawn is chosen in `report`; everything here takes plain values.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

# Told apart by readers who see few colours, on white and on black alike. Source: Okabe and Ito 2008, a little lighter.
COLOURS = {"oracle": "#8c8c8c", "joint": "#d98200", "GA": "#0a85c9", "GA+FCSA": "#1a9e77", "GA+CSA": "#c4609a"}
OTHERS = ("#b5a400", "#d1491f", "#56b4e9", "#7a5cc4", "#3f7f2b", "#a0522d", "#008b8b", "#b03060")
INK, GRID = "#010203", "#040506"  # stand for the page's own colours until the text is written
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # names of classes may have dollar signs
}


def svg(figure: Figure, title: str) -> str:
    """A figure as an element of a page: no size of its own, no names that clash with another figure's."""
    text = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)[\")]", drawn))
    drawn = re.sub(r' id="([\w-]+)"', lambda m: m[0] if m[1] in used else "", drawn)
    prefix = re.sub(r"\W+", "-", title)
    drawn = re.sub(r'(id="|href="#|url\(#)', rf"\1{prefix}-", drawn)
    drawn = drawn.replace(INK, "currentColor").replace(GRID, "var(--line)")
    drawn = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1system-ui, sans-serif", drawn)
    head = re.search(r'viewBox="[^"]*"', drawn)[0]
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(r"<svg[^>]*>", f'<svg {head} role="img" aria-label="{label}">', drawn, count=1)


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
    place = {"left": left / width, "right": 1 - right / width, "top": 1 - top / height, "bottom": bottom / height}
    grid = figure.add_gridspec(rows, columns, hspace=gap / each, wspace=0.16, **place)
    return figure, [figure.add_subplot(grid[i]) for i in range(rows * columns)]


def _legend(figure: Figure, handles: Mapping[str, object], columns: int) -> None:
    """The names of lines or bars, above the axes."""
    figure.legend(handles.values(), handles.keys(), loc="upper left", ncols=columns, borderaxespad=0.2)


def _handles(all_axes) -> dict[str, object]:
    found = {}
    for axes in all_axes:
        found.update((label, handle) for handle, label in zip(*axes.get_legend_handles_labels()))
    return {label: found[label] for label in sorted(found, key=[*COLOURS, *found].index)}  # methods in their order


def curves_of_labels(
    title: str,
    lines: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]],
    paper: Mapping[str, tuple[Sequence[int], Sequence[float]]],
) -> str:
    """mIoU against the number of labelled images.

    Args:
        title: of the figure.
        lines: method -> numbers, means, spreads (0 where there is none).
        paper: method -> numbers, mIoU; drawn dashed.
    """
    colour_of = colours(list(lines))
    with matplotlib.rc_context(STYLE):
        entries = len(lines) + len(paper)
        across = 4 if entries > 5 else 5
        rows = -(-entries // across)
        figure, (axes,) = _figure(7, 3.9 + 0.22 * rows, (0.6, 0.1, 0.15 + 0.22 * rows, 0.5))
        ticks = sorted({count for counts, _, _ in lines.values() for count in counts})
        linear = min(filter(None, ticks), default=2) / 2  # the axis is logarithmic from here on
        for i, (method, (counts, means, spreads)) in enumerate(lines.items()):
            aside = 0.03 * (i - (len(lines) - 1) / 2)  # so that the spreads at one number can be told apart
            places = [count + aside * max(count, linear) for count in counts]
            given = {"label": method, "color": colour_of[method], "marker": "o", "markersize": 4, "capsize": 3}
            axes.errorbar(places, means, spreads, **given)
            if method in paper:
                axes.plot(*paper[method], "--", color=colour_of[method], label=f"{method}, paper", linewidth=1)
        axes.set_xscale("symlog", linthresh=linear)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("labelled target images")
        axes.set_ylabel("mIoU, %")
        _legend(figure, _handles([axes]), across)
    return svg(figure, title)


def bars_of_classes(title: str, scores: Mapping[str, Sequence[float | None]], names: Sequence[str]) -> str:
    """IoU of each class, a bar for each method: method -> IoU in percent, None where a class has none."""
    thick, colour_of = 0.8 / max(len(scores), 1), colours(list(scores))
    with matplotlib.rc_context(STYLE):
        left = 0.2 + 0.08 * max(map(len, names))
        height = 0.9 + len(names) * (0.16 + 0.13 * len(scores))
        figure, (axes,) = _figure(7, height, (left, 0.15, 0.35, 0.5))
        places = np.arange(len(names))
        for i, (method, values) in enumerate(scores.items()):
            values = np.array([np.nan if value is None else value for value in values], float)
            offset = (i - (len(scores) - 1) / 2) * thick
            axes.barh(places + offset, values, thick, label=method, color=colour_of[method])
        axes.set_yticks(places, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("IoU, %")
        axes.grid(axis="y", visible=False)
        _legend(figure, _handles([axes]), 5)
    return svg(figure, title)


def curves_of_steps(
    title: str, panels: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]], bounds: Mapping[str, tuple]
) -> str:
    """Small panels of curves over the steps.

    Args:
        title: of the figure.
        panels: heading -> name of a line -> steps, values. The same name has the same colour in each.
        bounds: heading -> limits of its axis; default those of the values, from 0.
    """
    colour_of = colours(list(dict.fromkeys(name for lines in panels.values() for name in lines)))
    rows = -(-len(panels) // 2)
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _figure(8, 0.95 + 2.2 * rows, (0.45, 0.1, 0.65, 0.5), 2, rows, gap=0.55)
        for axes, (heading, lines) in zip(all_axes, panels.items()):
            for name, (steps, values) in lines.items():
                axes.plot(steps, values, label=name, color=colour_of[name], marker=None if len(steps) > 1 else "o")
            axes.set_title(heading, fontsize=10, loc="left")
            axes.set_ylim(*bounds.get(heading, (0, None)))
        for axes in all_axes[len(panels) :]:
            axes.set_axis_off()
        _legend(figure, _handles(all_axes), 5)
        figure.supxlabel("step", fontsize=10)
    return svg(figure, title)


def planes(
    title: str,
    stages: Mapping[str, tuple[np.ndarray, np.ndarray, float]],
    names: Sequence[str],
    palette: Sequence[str],
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
                    axes.annotate(name, place, (4, 4), textcoords="offset points", fontsize=8)
            axes.set_title(f"{heading} ({kept:.0%} of the variance)", fontsize=10, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.margins(0.15)
            axes.set_aspect("equal", adjustable="datalim")
    return svg(figure, title)
