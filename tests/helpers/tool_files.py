"""One photograph and its shapes as each annotation tool writes them, and what a label of it must hold."""

import itertools
import json

import numpy as np
from PIL import Image, ImageDraw

SIZE = (40, 60)  # (h, w)
CAR = [(10.5, 22.25), (24.0, 20.0), (26.5, 33.0), (12.0, 34.5)]
ROAD = [(0.0, 20.0), (60.0, 17.5), (60.0, 40.0), (0.0, 40.0)]
SIGN = [(40.0, 4.0), (52.25, 25.5), (33.75, 26.0)]
SHAPES = (("car", CAR), ("road", ROAD), ("sign", SIGN))  # in the order of the files, the car below the road
NAMES = ("car", "road", "sign")
LABELME = {"version": "5.5.0", "flags": {}, "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
FINE = 16  # grid cells of a side of a pixel


def flat(points):
    return [number for point in points for number in point]


def drawn(shapes, size=SIZE):
    """What Pillow draws of shapes, later above earlier, and where a pixel's centre is far enough from every outline.

    Returns:
        names: object (h, w); None where there is no shape.
        clear: bool (h, w). False where an outline is within a fifth of a pixel of the centre.
    """
    names, edges = np.full(size, None, object), Image.new("L", (size[1] * FINE, size[0] * FINE))
    for name, points in shapes:
        fine = Image.new("L", edges.size)
        corners = [(x * FINE - 0.5, y * FINE - 0.5) for x, y in points]
        ImageDraw.Draw(fine).polygon(corners, fill=1)
        ImageDraw.Draw(edges).line([*corners, corners[0]], fill=1, width=2 * FINE // 5)
        names[np.asarray(fine)[FINE // 2 :: FINE, FINE // 2 :: FINE] == 1] = name
    return names, np.asarray(edges)[FINE // 2 :: FINE, FINE // 2 :: FINE] == 0


def photograph(file, size=SIZE, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(file.name)).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(file, **options)


def label_of(folder, name="street"):
    """Names of the classes of a label's pixels, object (h, w); None where they are ignored."""
    meanings = {int(key): name for key, name in json.loads((folder / "classes.json").read_text()).items()}
    table = np.full(256, "unknown", object)
    for key, value in meanings.items():
        table[key] = value
    return table[np.asarray(Image.open(folder / f"labels/{name}.png"))]


def counted(out, title="dropped"):
    """{what: number} of the lines under a title."""
    lines = out.partition(f"\n{title}:\n")[2].partition("\n\n")[0].splitlines()
    return {what: int(n) for n, what in (line.split(maxsplit=1) for line in lines if line[:1] == " ")}


def labelme_shape(label, points, kind="polygon", **others):
    common = {"group_id": None, "description": "", "flags": {}, "mask": None}
    return {"label": label, "points": [list(p) for p in points], "shape_type": kind, **common, **others}


def labelme(folder, name="street", shapes=None, **others):
    """LabelMe 5: a JSON beside the photograph."""
    photograph(folder / f"{name}.png")
    shapes = [labelme_shape(*shape) for shape in SHAPES] if shapes is None else shapes
    content = {**LABELME, "imagePath": f"{name}.png", "shapes": shapes, **others}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2))


def labelme_xml(folder):
    """LabelMe's web tool: Annotations/ and Images/."""
    photograph(folder / "Images/walk/street.png")
    objects = "".join(
        f"<object><name>{name}</name><deleted>0</deleted><verified>0</verified><occluded>no</occluded><attributes/>"
        f"<parts><hasparts/><ispartof/></parts><date>2-Mar-2026 10:11:12</date><id>{n}</id>"
        f"<polygon><username>me</username>{''.join(f'<pt><x>{x}</x><y>{y}</y></pt>' for x, y in points)}</polygon>"
        "</object>"
        for n, (name, points) in enumerate(SHAPES)
    )
    (folder / "Annotations/walk").mkdir(parents=True)
    (folder / "Annotations/walk/street.xml").write_text(
        "<annotation><filename>street.png</filename><folder>walk</folder><source><sourceImage>-</sourceImage>"
        f"<sourceAnnotation>LabelMe Webtool</sourceAnnotation></source>{objects}"
        f"<imagesize><nrows>{SIZE[0]}</nrows><ncols>{SIZE[1]}</ncols></imagesize></annotation>"
    )


def coco_content(annotations, file_name="street.png", names=NAMES, size=SIZE, first=1, **others):
    """A COCO file; `annotations` holds (class, segmentation)."""
    return {
        "info": {"year": 2026, "version": "1.0", "contributor": ""},
        "licenses": [],
        "images": [{"id": 7, "width": size[1], "height": size[0], "file_name": file_name}],
        "categories": [{"id": n, "name": name, "supercategory": ""} for n, name in enumerate(names, first)],
        "annotations": [
            {
                "id": n,
                "image_id": 7,
                "category_id": first + names.index(name),
                "segmentation": segmentation,
                "area": 100.0,
                "bbox": [1.0, 2.0, 3.0, 4.0],
                "iscrowd": int(isinstance(segmentation, dict)),
            }
            for n, (name, segmentation) in enumerate(annotations)
        ],
        **others,
    }


def coco(folder):
    """COCO as CVAT exports it: annotations/ and images/."""
    photograph(folder / "images/street.png")
    (folder / "annotations").mkdir()
    content = coco_content([(name, [flat(points)]) for name, points in SHAPES])
    (folder / "annotations/instances_default.json").write_text(json.dumps(content))


def label_studio(folder):
    """COCO as Label Studio exports it: result.json, categories from 0, and eight digits before the names."""
    photograph(folder / "images/street.png")
    content = coco_content([(name, [flat(points)]) for name, points in SHAPES], "images/1a2b3c4d-street.png", first=0)
    (folder / "result.json").write_text(json.dumps({**content, "info": {"contributor": "Label Studio"}}))


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <{part}>
      <id>4</id>
      <name>walk</name>
      <size>1</size>
      <mode>annotation</mode>
      <labels>{labels}</labels>
    </{part}>
    <dumped>2026-03-02 10:11:12.000000+00:00</dumped>
  </meta>
  <image id="0" name="street.png" subset="Train" width="{width}" height="{height}">{shapes}
  </image>
</annotations>
"""


def cvat_polygon(name, points, layer=0):
    corners = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    common = f'source="manual" occluded="0" z_order="{layer}"'
    return f'\n    <polygon label="{name}" {common} points="{corners}">\n    </polygon>'


def cvat(folder, shapes=None, part="task", names=NAMES):
    """CVAT for images 1.1: annotations.xml and images/."""
    photograph(folder / "images/street.png")
    shapes = "".join(cvat_polygon(*shape) for shape in SHAPES) if shapes is None else shapes
    listed = "".join(f"<label><name>{name}</name><color>#fa3253</color><attributes/></label>" for name in names)
    text = CVAT.format(part=part, labels=listed, width=SIZE[1], height=SIZE[0], shapes=shapes)
    (folder / "annotations.xml").write_text(text)


def datumaro(folder):
    """Datumaro: annotations/default.json and images/."""
    photograph(folder / "images/default/street.png")
    common = {"attributes": {"occluded": False}, "group": 0, "z_order": 0}
    labels = [{"name": name, "parent": "", "attributes": []} for name in NAMES]
    annotations = [
        {"id": n, "type": "polygon", "label_id": NAMES.index(name), "points": flat(points), **common}
        for n, (name, points) in enumerate(SHAPES)
    ]
    item = {"id": "street", "annotations": annotations, "image": {"path": "street.png", "size": list(SIZE)}}
    content = {"info": {}, "categories": {"label": {"labels": labels, "attributes": []}}, "items": [item]}
    (folder / "annotations").mkdir()
    (folder / "annotations/default.json").write_text(json.dumps(content))


VOC = {"background": (0, 0, 0), "car": (0, 0, 142), "road": (128, 64, 128), "sign": (220, 220, 0)}


def voc(folder, names=None, colours=VOC):
    """Pascal VOC as CVAT exports segmentation masks: labelmap.txt, SegmentationClass/ in colours, lists of names."""
    photograph(folder / "JPEGImages/street.jpg")
    names = drawn([("road", ROAD), ("sign", SIGN), ("car", CAR)])[0] if names is None else names
    pixels = np.array([[colours[name or "background"] for name in row] for row in names], np.uint8)
    (folder / "SegmentationClass").mkdir()
    Image.fromarray(pixels).save(folder / "SegmentationClass/street.png")
    lines = "".join(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in colours.items())
    (folder / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{lines}")
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    for list_file in ("train.txt", "trainval.txt"):
        (folder / "ImageSets/Segmentation" / list_file).write_text("street\n")


def rectangles(label):
    """(id, corners) of rectangles without overlap that together are a label map, int (h, w)."""
    open_ones, done = {}, []
    for y, row in enumerate([*label, np.full(label.shape[1], -1)]):
        bounds = np.flatnonzero(np.diff(row, prepend=-2, append=-2))
        runs = {(int(a), int(b), int(row[a])) for a, b in itertools.pairwise(bounds)} if y < len(label) else set()
        for run in open_ones.keys() - runs:
            done.append((run, open_ones.pop(run), y))
        for run in runs - open_ones.keys():
            open_ones[run] = y
    return [(number, [(a, top), (b, top), (b, bottom), (a, bottom)]) for (a, b, number), top, bottom in done]
