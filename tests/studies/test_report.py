"""The page: complete, self-contained, and what a browser makes of it."""

import html.parser
import json
import re
import shutil
import subprocess

import made_runs
import numpy as np
import pytest
import small_runs

from ass_tf import report
from ass_tf.studies import page as pages
from ass_tf.studies import results, tables
from ass_tf.system import storage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return made_runs.make_sweep(tmp_path_factory.mktemp("report") / "sweep & co")


@pytest.fixture(scope="module")
def page(swept):
    assert report.main([str(swept)]) == 0
    return (swept / "report/index.html").read_text()


class Checker(html.parser.HTMLParser):
    """Notes ids, addresses, and whether every element that is opened is closed."""

    VOID = ("meta", "input", "br", "link", "img")

    def __init__(self):
        super().__init__()
        self.ids, self.addresses, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[key] for key in ("src", "href", "xlink:href") if key in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    return checker


@pytest.fixture(scope="module")
def parsed(page):
    return check(page)


def test_page_is_well_formed_and_no_name_is_used_twice(parsed):
    assert parsed.open == []
    assert len(set(parsed.ids)) == len(parsed.ids)


def test_a_run_with_statistics_taken_anew_says_so(tmp_path):
    swept = made_runs.make_sweep(tmp_path / "sweep", seeds=(0,))
    record = next(swept.glob("*-*-*/run.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "statistics": {"of": "photos", "images": 12}}))
    assert report.main([str(swept)]) == 0
    assert (swept / "report/index.html").read_text().count("; AdaBN on 12 images of photos</td>") == 1


def test_each_set_of_classes_has_a_curve_of_its_own(tmp_path):
    made_runs.make_sweep(tmp_path / "sweep", seeds=(0,), methods=("ga", "csa"), classes="cityscapes19")
    assert report.main([str(tmp_path / "sweep")]) == 0
    page = (tmp_path / "sweep/report/index.html").read_text()
    found = check(page)
    assert len(set(found.ids)) == len(found.ids)
    for heading in tables.TITLES.values():
        assert html.escape(f"mIoU by number of labelled images, {heading}", quote=False) in html.unescape(page)


def test_page_needs_nothing_but_itself(page, parsed):
    assert [address for address in parsed.addresses if not address.startswith(("#", "data:"))] == []
    assert re.findall(r"url\((?!data:|#)", page) == []
    assert set(re.findall(r"https?://[\w.]+", page)) <= {"http://www.w3.org"}  # namespaces of SVG
    used = {address[1:] for address in parsed.addresses if address.startswith("#")}
    used |= set(re.findall(r"url\(#(.+?)\)", page))
    assert used <= set(parsed.ids)


def test_page_holds_every_table_chart_and_picture(swept, parsed, page):
    text = " ".join(parsed.text)
    (table,) = tables.tables(results.read(swept))
    for shown in (*(place.text for place in table.rows["GA+CSA"]), *table.gains["GA+CSA over joint"]):
        assert shown in text
    assert page.count("<svg") == 1 + 2 * (1 + 1 + 1 + 5)  # curve; bars, losses, shares, 5 planes
    assert page.count('class="matrix"') == 2 * 5
    assert page.count('aria-label="photograph"') == 2 * 2
    assert page.count('aria-label="GA+CSA"') == 2 * 2
    assert len(re.findall(r"^\.i\d+ ", page, flags=re.MULTILINE)) == 2 + 2 + 2 * 2 * 5  # shared photographs and truths
    assert text.count("it is right <always>") == 20
    assert "optimiser.decay_steps" in text


def test_without_pictures_there_are_none(swept, tmp_path):
    assert report.main([str(swept), "--out", str(tmp_path), "--without-pictures", "--title", "a < b"]) == 0
    page = (tmp_path / "index.html").read_text()
    assert "<h1>a &lt; b</h1>" in page
    assert "data:image" not in page
    assert "<svg" in page
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "table.csv", "table.md"]


def test_an_unfinished_sweep_and_a_single_run_have_a_page(swept, tmp_path, capsys):
    assert report.main([str(swept / "csa-20-0"), "--out", str(tmp_path / "one")]) == 0
    cells = [{"name": n, "method": "csa", "variant": None, "labelled": 5, "seed": i} for i, n in enumerate("ab")]
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    storage.write_text(
        tmp_path / "status/b.json", json.dumps({"failed": "<script> is no number", "minutes": 1, "at": 0})
    )
    assert report.main([str(tmp_path)]) == 0
    page = (tmp_path / "report/index.html").read_text()
    assert "failed: &lt;script&gt; is no number" in page
    assert "0 of 2 runs done, 1 failed" in page


def test_runs_that_lack_something_and_odd_names_have_a_page(tmp_path):
    folder = made_runs.make_sweep(tmp_path / "sweep", (20,), methods=("ga", "csa"), classes=["$x_$", *"abcd"])
    (folder / "csa-20-0/pictures/1_truth.png").unlink()
    (folder / "ga-20-0/pictures/1_truth.png").unlink()
    for file in folder.glob("ga-*/features/*.npz"):
        nothing = np.full((5, 8), np.nan)
        np.savez(file, source=nothing, target=nothing)
    result = json.loads((folder / "ga-20-1/result.json").read_text())
    del result["last"]["iou"]
    (folder / "ga-20-1/result.json").write_text(json.dumps(result))
    (folder / "csa-20-0/features/after.npz").write_bytes(b"")
    (folder / "csa-20-0/features/before.npz").unlink()
    assert report.main([str(folder)]) == 0
    page = (folder / "report/index.html").read_text()
    assert "$x_$" in page
    assert page.count('aria-label="photograph"') == 1
    assert page.count("features of csa-20-1") == 1
    assert ">nan<" not in page


def test_pictures_are_of_the_first_run_of_each_method(swept):
    shown = pages.first_of_each_label(results.read(swept))
    assert [run.name for run in shown] == [f"{method}-20-0" for method in made_runs.METHODS]


def test_curves_are_means_of_the_runs_that_came_furthest(tmp_path):
    runs = []
    for seed, steps in enumerate((4, 4, 1)):
        (run,) = results.read(made_runs.make(tmp_path / f"{seed}", seed=seed, steps=steps))
        runs.append(run)
    assert pages.mean_curve(runs, ["segmentation_loss_source"])[0] == [100, 200, 300, 400]


def test_the_point_of_all_labels_is_never_drawn_at_none(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pages.charts, "curves_of_labels", lambda *words: drawn.append(words) or "")
    plain = json.loads((small_runs.ROOT / "configs/paper.json").read_text())
    del plain["method"]
    cells = [
        {"name": f"{m}-{n}", "method": m, "variant": None, "labelled": n, "seed": 0}
        for m in ("ga", "csa")
        for n in (50, "all")
    ]
    for cell in cells[:3]:  # csa with all labels is not done
        made_runs.make(tmp_path / cell["name"], cell["method"], cell["labelled"], **plain)
    storage.write_text(tmp_path / "sweep.json", json.dumps(cells))
    pages.curve_chart(tables.tables(results.read(tmp_path))[0])
    ((_, lines, printed),) = drawn
    assert [lines["GA"][0], lines["GA+CSA"][0]] == [(50, 40), (50,)]
    assert printed["GA"] == ((50, 40), (50.0, 59.71))


def test_legend_of_bars_has_their_order():
    names = ["joint", "joint model.head=deeplabv2", "GA+CSA"]
    drawn = pages.charts.bars_of_classes("IoU", {name: [50.0] for name in names}, ["road"])
    assert re.findall(r">((?:joint|GA)[^<]*)</text>", drawn) == names


def test_a_folder_without_runs_is_refused_in_one_line(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def browse(swept, page, tmp_path_factory):
    """What chromium makes of the page: its elements after a script has run in it."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed")

    def run(script, width=1200, *more):
        folder = tmp_path_factory.mktemp("browser")
        probe = f"<script>addEventListener('load', () => {{ document.title = JSON.stringify(({script})()) }})</script>"
        (folder / "page.html").write_text(page.replace("</body>", probe + "</body>"))
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", *more]
        words += [f"--window-size={width},900", "--dump-dom", f"file://{folder}/page.html"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
        return json.loads(html.unescape(title))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1200])  # chromium's narrowest window is 500 wide
def test_nothing_sticks_out_of_the_page_in_a_browser(browse, width):
    found = browse(
        "() => [document.documentElement.scrollWidth, innerWidth, document.querySelectorAll('svg').length]", width
    )
    assert found[0] <= found[1]
    assert found[2] > 15


@pytest.mark.slow
def test_the_slider_uncovers_the_photographs(browse):
    script = """() => { const slider = document.querySelector('input[type=range]');
        const over = document.querySelector('.over');
        const before = getComputedStyle(over).clipPath; slider.value = 25; slider.dispatchEvent(new Event('input'));
        return [before, getComputedStyle(over).clipPath]; }"""
    assert browse(script) == ["inset(0px 0% 0px 0px)", "inset(0px 75% 0px 0px)"]


@pytest.mark.slow
def test_text_of_charts_follows_a_dark_page(browse):
    script = "() => [getComputedStyle(document.body).color, getComputedStyle(document.querySelector('svg text')).fill]"
    light, dark = browse(script), browse(script, 1200, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    assert light[0] == light[1]
    assert dark[0] == dark[1]
    assert light != dark
