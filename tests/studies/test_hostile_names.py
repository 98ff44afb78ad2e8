"""Names of classes, runs and variants that look like markup are shown as they are, on the page and in both tables."""

import csv
import html.parser
import io
import json
import re
import shutil
from xml.etree import ElementTree

import made_runs
import markdown_it  # rich needs it too
import pytest

from ass_tf import report
from ass_tf.studies import charts
from ass_tf.system import storage

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&amp; & &lt;",
    "$x$ \\frac{1}{2}",
    "_leading",
    "a|b || c",
    "*bold* _slanted_ `code` [link](javascript:x) ~~gone~~",
    "道路 Straße",
    "{{ 7*7 }} {% raw %}",
    "]]> <!-- <![CDATA[ -->",
    "\\1 \\g<0> %s %d {0}",
    '#010203 url(#x) id="x" href="#x" font: \'x\'',
    "long " * 80,
]


def make_sweep(folder, names):
    """Runs of two methods with these names for their classes, variants and folders; those of the last failed."""
    cells = []
    for i, variant in enumerate(names):
        for method in ("ga", "csa"):
            name, labelled = f"{method} {i} {variant.replace('/', '')[:60]}", (5, 20)[i % 2]
            cells.append({"name": name, "method": method, "variant": variant, "labelled": labelled, "seed": 0})
            if variant == names[-1]:
                status = json.dumps({"failed": names[0], "minutes": 1, "at": 0})
                storage.write_text(folder / "status" / f"{name}.json", status)
            else:
                run = made_runs.make(folder / name, method, labelled, classes=names, pictures=1)
                if i > 1:
                    shutil.rmtree(run / "features")  # their charts take time
    storage.write_text(folder / "sweep.json", json.dumps(cells))
    assert report.main([str(folder), "--title", names[0]]) == 0
    return folder / "report"


class Outline(html.parser.HTMLParser):
    """Elements with the names of their attributes, the attributes' values, and the text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.values, self.text = [], {}, []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, *(key for key, _ in attributes)))
        for key, value in attributes:
            self.values.setdefault(key, set()).add(value or "")

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.elements.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return make_sweep(tmp_path_factory.mktemp("hostile") / "sweep", HOSTILE)


@pytest.fixture(scope="module")
def page(written):
    return (written / "index.html").read_text()


def labels_of(name):
    return f"GA {name}", f"GA+CSA {name}"


@pytest.mark.slow
def test_names_make_no_element_and_no_attribute_of_the_page(page, tmp_path):
    harmless = [f"{i:0{len(name)}d}" for i, name in enumerate(HOSTILE)]
    plain = Outline((make_sweep(tmp_path / "sweep", harmless) / "index.html").read_text())
    found = Outline(page)
    assert found.elements == plain.elements
    assert found.values.keys() == plain.values.keys()
    pieces = {piece for name in HOSTILE for piece in (name, name[:20], name[-20:])}
    others = {value for key, values in found.values.items() if key != "aria-label" for value in values}
    assert not [value for value in others if any(piece in value for piece in pieces)]


def test_names_are_shown_as_text_on_the_page(page):
    found = Outline(page)
    for name in HOSTILE:
        assert found.text.count(name) > 9  # a class
        assert set(labels_of(name)) <= set(found.text)
        assert f"GA+CSA {name} over GA {name}" in found.text or name == HOSTILE[-1]
        assert set(labels_of(name)) <= found.values["aria-label"] or name == HOSTILE[-1]
    assert found.text.count(f"failed: {HOSTILE[0]}") == 2
    assert found.text.count(HOSTILE[0]) == found.text.count(HOSTILE[1]) + 2  # title and heading


def test_charts_show_names_as_text_and_stay_xml(page):
    drawn = [ElementTree.fromstring(chart) for chart in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)]
    texts = {chart.get("aria-label"): {element.text for element in chart.iter("text")} for chart in drawn}
    curve = texts["mIoU by number of labelled images, all classes"]
    assert {charts._short(label) for name in HOSTILE[:-1] for label in labels_of(name)} <= curve
    for i, number in enumerate((5, 20)):
        title = f"{number} labelled images"
        assert {charts._short(name, 30) for name in HOSTILE} <= texts[f"IoU per class, {title}"]
        labels = {charts._short(label) for name in HOSTILE[i:-1:2] for label in labels_of(name)}
        assert all(labels <= texts[f"{chart}, {title}"] for chart in ("losses", "shares of G's gradient"))
    features = [found for title, found in texts.items() if title.startswith("features of ")]
    assert len(features) == 4
    assert all({charts._short(name, 20) for name in HOSTILE} <= found for found in features)


def test_the_table_in_markdown_shows_names_as_text(written):
    parser = markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse((written / "table.md").read_text())
    cells = [token for token in tokens if token.type == "inline"]
    assert {part.type for cell in cells for part in cell.children} == {"text"}
    shown = {"".join(part.content for part in cell.children) for cell in cells}
    assert {label.strip() for name in HOSTILE for label in labels_of(name)} <= shown
    assert sum(token.type == "tr_open" for token in tokens) == 2 + 3 * len(HOSTILE) - 1


def test_the_csv_table_holds_names_as_they_are(written):
    rows = list(csv.DictReader(io.StringIO((written / "table.csv").read_text())))
    assert {row["variant"] for row in rows} == set(HOSTILE)
    assert {f"iou_last_{name}" for name in HOSTILE} <= set(rows[0])
    assert {row["failed"] for row in rows} == {"", HOSTILE[0]}
