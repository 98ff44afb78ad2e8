"""Cars, people, trees, poles, lights and signs of drawn streets, seen through a pinhole camera.

Where they stand is left to `street_plan`. Lengths are metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ass_tf import labels
from ass_tf.streets.looks import Light
from ass_tf.streets.textures import paint_colour

_RAW = {name: raw_id for raw_id, (name, _) in labels.CITYSCAPES_RAW.items() if raw_id < 34}
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, VEGETATION, TERRAIN, SKY = (
    _RAW[name] for name in ("road", "sidewalk", "building", "wall", "fence", "pole", "vegetation", "terrain", "sky")
)
LIGHT, SIGN, PERSON, RIDER, CAR, TRUCK, BUS, BICYCLE = (
    _RAW[name] for name in ("traffic light", "traffic sign", "person", "rider", "car", "truck", "bus", "bicycle")
)
# Raw id, (length, width), side view from the rear bumper over the roof to the front as (share of the length, metres up,
# paint of the face that starts here: body, glass or dark), and the side windows as (share of the length, metres up).
VEHICLES = {
    "saloon": (
        CAR, (4.6, 1.8), "0 .2 d 0 .5 b .02 .95 b .14 1 g .27 1.42 b .58 1.44 g .74 1 b .97 .82 b 1 .5 d 1 .2 d",
        ".2 1.02 .29 1.34 .57 1.36 .69 1.02",
    ),
    "hatchback": (
        CAR, (3.9, 1.7), "0 .2 d 0 .5 b .02 .95 g .09 1.45 b .55 1.5 g .73 1 b .96 .85 b 1 .5 d 1 .2 d",
        ".09 1.03 .13 1.38 .54 1.4 .68 1.03",
    ),
    "off-roader": (
        CAR, (4.6, 1.9), "0 .28 d 0 .65 b .02 1.1 g .05 1.72 b .6 1.76 g .72 1.2 b .97 1.05 b 1 .65 d 1 .28 d",
        ".07 1.2 .09 1.62 .59 1.64 .68 1.2",
    ),
    "van": (
        CAR, (5.0, 2.0), "0 .25 d 0 .55 b .01 1.2 g .02 1.85 b .03 2.1 b .76 2.1 g .88 1.2 b .98 1 b 1 .6 d 1 .25 d",
        ".62 1.25 .63 1.85 .76 1.85 .84 1.25",
    ),
    "truck": (
        TRUCK, (7.5, 2.4), "0 .6 d 0 .9 b 0 3.3 b .74 3.3 b .74 2.7 b .93 2.7 g .99 1.5 b 1 .6 d 1 .4 d",
        ".8 1.6 .8 2.4 .91 2.4 .96 1.6",
    ),
    "bus": (
        BUS, (10.5, 2.5), "0 .4 d 0 .7 b 0 1.5 g .01 2.6 b .02 3 b .98 3 g 1 1.2 b 1 .6 d 1 .4 d",
        ".03 1.4 .03 2.5 .97 2.5 .97 1.4",
    ),
}  # fmt: skip
_LUMPS = [
    [(k * np.cos(a), k * np.sin(a)) for a, k in zip(np.linspace(0, 6.28, 11), row)]
    for row in np.random.default_rng(3).uniform(0.55, 1.25, (8, 11))
]


@dataclass(frozen=True)
class View:
    """Pinhole camera over a bending road; s is metres right of the camera's own path, y up, z ahead."""

    h: int
    w: int
    focal: float  # pixels
    centre: float  # column that the path leaves towards
    horizon: float  # row
    eye: float  # metres
    curve: float  # 1 / metres

    def project(self, points, scale: float = 1.0) -> list[tuple[float, float]]:
        """Points (s, y, z) -> (column, row) in pixels times `scale`; plain floats, the points are few."""
        focal, half_curve = self.focal * scale, self.curve / 2
        centre, horizon = self.centre * scale, self.horizon * scale
        result = []
        for s, y, z in points:
            z = max(z, 1.0)
            result.append((centre + focal * (s / z + half_curve * z), horizon + focal * (self.eye - y) / z))
        return result

    def wall_depth(self, offset: float) -> np.ndarray:
        """Depth at which each column's ray meets the surface s = offset: (w,), inf where it never does."""
        slope = (np.arange(self.w) + 0.5 - self.centre) / self.focal
        root = slope * slope - 2 * self.curve * offset
        with np.errstate(divide="ignore", invalid="ignore"):
            z = 2 * offset / (slope + np.sign(offset) * np.sqrt(root))
        return np.where((root >= 0) & (z > 0), z, np.inf)


def _box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _ring(n: int, y: float, r: float, turn: float = 0.0) -> list[tuple[float, float]]:
    return [(r * np.sin(a + turn), y + r * np.cos(a + turn)) for a in np.linspace(0, 2 * np.pi, n, False)]


class Things:
    """Draws things on a canvas of inks at twice the picture's size; an ink is a colour, a label and a depth.

    The methods named after things take (rng, s, z, ...): where it stands, and draw it with a random form of its kind.
    """

    def __init__(self, view: View, light: Light):
        self.view, self.light = view, light
        self.canvas = Image.new("I", (2 * view.w, 2 * view.h))
        self.pen = ImageDraw.Draw(self.canvas)
        self.inks = [((0.0, 0.0, 0.0), 0, np.inf)]
        self._lights = [x.tolist() for x in (light.sun, light.ambient, light.direct)]
        self.sunlit = 1.0  # share of the sunlight that reaches what is drawn next

    def ink(self, colour, label: int, z: float, normal=(0.0, 0.3, -1.0)) -> int:
        sun, ambient, direct = self._lights  # Light.face in plain floats
        towards = max(0.0, sum(a * b for a, b in zip(sun, normal))) * self.sunlit
        sky = 1 - 0.1 * self.sunlit * (1 - normal[1])
        lit = tuple(float(c) * (sky * a + towards * d) for c, a, d in zip(colour, ambient, direct))
        self.inks.append((lit, label, z))
        return len(self.inks) - 1

    def polygon(self, ink: int, points) -> None:
        self.pen.polygon(self.view.project(points, 2.0), fill=ink)

    def flat(self, s: float, z: float, label: int, *parts) -> None:
        """Fills shapes that face the camera at (s, z), each (colour, shape) with lengths from its foot.

        A shape is a list of (right, up); an ellipse (right, up, half width, half height) or, with a fifth number, its
        rim of that width; or a bar ((right, up), (right, up), width), never thinner than a pixel or two.
        """
        scale = 2 * self.view.focal / z
        for colour, shape in parts:
            ink = colour if isinstance(colour, int) else self.ink(colour, label, z)
            if isinstance(shape, list):
                self.polygon(ink, [(s + right, up, z) for right, up in shape])
            elif len(shape) == 3:
                ends = self.view.project([(s + right, up, z) for right, up in shape[:2]], 2.0)
                self.pen.line(ends, fill=ink, width=max(3, round(scale * shape[2])))
            else:
                right, up, rx, ry, *rim = shape
                ((x, y),) = self.view.project([(s + right, up, z)], 2.0)
                box = (x - rx * scale, y - ry * scale, x + rx * scale, y + ry * scale)
                if rim:
                    self.pen.ellipse(box, outline=ink, width=max(1, round(rim[0] * scale)))
                else:
                    self.pen.ellipse(box, fill=ink)

    def vehicle(self, rng, s: float, z: float, kind: str, colour, heading: float) -> None:
        """heading: radians; 0 drives away from the camera."""
        label, (length, width), outline, windows = VEHICLES[kind]
        words = outline.split()
        along, up, windows = np.float64(words[0::3]), np.float64(words[1::3]), np.float64(windows.split())
        half = width / 2 * (1 - 0.2 * np.clip((up - 1) / 0.5, 0, 1) * (label == CAR))
        cos, sin = float(np.cos(heading)), float(np.sin(heading))
        near = z - 0.5 * (abs(cos) * length + abs(sin) * width)
        glass = np.float32([0.1, 0.12, 0.14]) + 0.3 * rng.random() * self.light.fog
        paints = {"b": colour, "g": glass, "d": (0.08, 0.08, 0.09)}

        def place(share, up, across):
            ahead = [(x - 0.5) * length for x in share]
            return [(s + x * sin + r * cos, y, z + x * cos - r * sin) for x, y, r in zip(ahead, up, across)]

        def patch(paint, share, box):
            (x0, y0), _, (x1, y1), _ = box
            self.polygon(paint, place([share] * 4, (y0, y0, y1, y1), (x0, x1, x1, x0)))

        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        cosines, sines = np.cos(turn), np.sin(turn)
        faces = [(place(along, up, side * half), "b", (side * cos, 0.2, -side * sin), side) for side in (-1, 1)]
        for i in range(len(up) - 1):
            rise, run, pair = up[i + 1] - up[i], (along[i + 1] - along[i]) * length, [i, i, i + 1, i + 1]
            normal = np.array([-rise * sin, run, -rise * cos]) / (np.hypot(rise, run) + 1e-6)
            faces.append((place(along[pair], up[pair], half[pair] * [-1, 1, 1, -1]), words[3 * i + 2], normal, 0))
        for points, paint, normal, side in sorted(faces, key=lambda face: -sum(p[2] for p in face[0]) / len(face[0])):
            seen = self.view.project(points)
            area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(seen, seen[1:] + seen[:1]))
            if area * (side or -1) <= 0:
                continue  # turned away from the camera
            self.polygon(self.ink(paints[paint], label, near, normal), points)
            if not side:
                continue
            flank = side * width * 0.45
            self.polygon(self.ink(glass, label, near, normal), place(windows[0::2], windows[1::2], [flank] * 4))
            if label == CAR:
                post = windows[0::2].mean() + np.array([0.02, 0.02, 0.04, 0.04])
                self.polygon(self.ink(colour, label, near, normal), place(post, (1, 1.4, 1.4, 1), [flank] * 4))
            tyre = 0.33 if label == CAR else 0.48
            for axle in (0.19, 0.8) if near < 70 else ():
                for radius, tone in ((tyre, 0.04), (0.55 * tyre, 0.4)):
                    rim = place(axle + radius / length * cosines, tyre + radius * sines, [side * width / 2] * 12)
                    self.polygon(self.ink([tone] * 3, label, near, normal), rim)
        if abs(cos) > 0.7 and near < 60:
            end, lamp = (-0.002, (0.75, 0.05, 0.05)) if cos > 0 else (1.002, (0.95, 0.95, 0.85))
            level = up[1] + 0.12 if cos > 0 else up[-2] + 0.1
            tyre, lamp, plate = (
                self.ink(paint, label, near) for paint in ((0.05, 0.05, 0.05), lamp, (0.85, 0.85, 0.8))
            )
            for x in (-0.4 * width, 0.4 * width):
                patch(tyre, end, _box(x - 0.15, 0.0, x + 0.15, up[0] + 0.1))
                patch(lamp, end, _box(x - 0.15, level, x + 0.15, level + 0.15))
            patch(plate, end, _box(-0.26, level - 0.15, 0.26, level - 0.04))

    def person(self, rng, s: float, z: float, label: int = PERSON, lift: float = 0.0) -> None:
        size, step, lean = rng.uniform(0.86, 1.08), rng.uniform(0.02, 0.3), rng.normal(0, 0.03)
        skin, hem = np.float32([0.85, 0.66, 0.52]) * rng.uniform(0.4, 1.05), rng.choice([0.85, 0.8, 0.55])
        coat, legs = (paint_colour(rng, np.linspace(0, 1, 12), (0, 0.6), (0.08, 0.75)) for _ in range(2))
        body = [
            (-0.19, hem),
            (0.19, hem),
            (0.22 + lean, 1.4),
            (0.1 + lean, 1.5),
            (-0.1 + lean, 1.5),
            (-0.22 + lean, 1.4),
        ]
        limbs = []
        for side in (-1, 1):
            foot, hand = side * step, side * (0.23 + step / 3)
            limbs.append((legs * 0.6, [(side * 0.14, 0.88), (-side * 0.01, 0.88), (foot - 0.07, 0), (foot + 0.07, 0)]))
            limbs.append(
                (coat * 0.8, [(side * 0.17, 1.42), (side * 0.25, 1.38), (hand + 0.04, 0.8), (hand - 0.04, 0.8)])
            )
        for colour, shape in [*limbs, (coat, body)]:
            self.flat(s, z, label, (colour, [(size * right, lift + size * up) for right, up in shape]))
        for tone, up, r in ((0.25, 1.66, 0.12), (1.0, 1.6, 0.1)):
            self.flat(s, z, label, (skin * tone, (size * lean, lift + size * up, size * r, size * r * 1.1)))

    def bicycle(self, rng, s: float, z: float, squeeze: float) -> None:
        """squeeze: 1 seen from its side, towards 0 from behind."""
        frame = self.ink(paint_colour(rng, (0, 0.3, 0.6), (0, 0.8), (0.1, 0.8)), BICYCLE, z)
        tyre = self.ink((0.06, 0.06, 0.06), BICYCLE, z)
        self.flat(
            s, z, BICYCLE, *[(tyre, (k * squeeze, 0.35, max(0.35 * squeeze, 0.04), 0.35, 0.06)) for k in (-0.52, 0.52)]
        )
        for path in ("-.52 .35 -.2 .85", "-.2 .85 0 .35", "0 .35 .4 .9", "-.2 .8 .4 .85", ".52 .35 .38 1"):
            x0, y0, x1, y1 = map(float, path.split())
            self.flat(s, z, BICYCLE, (frame, ((x0 * squeeze, y0), (x1 * squeeze, y1), 0.05)))

    def rider(self, rng, s: float, z: float) -> None:
        self.bicycle(rng, s, z, 0.15)
        self.person(rng, s, z, RIDER, 0.35)

    def tree(self, rng, s: float, z: float, form: str, height: float, colour) -> None:
        """form: round, tall, bush or palm; height in metres."""
        bark = self.ink(np.float32([0.36, 0.28, 0.22]) * rng.uniform(0.6, 1.1), VEGETATION, z)
        lit = ((0.5, (0, 0, -1)), (0.85, (0, 0.5, -0.5)), (1.1, (0, 1, 0)))
        tones = [self.ink(colour * k, VEGETATION, z, normal) for k, normal in lit]
        if form == "palm":
            top = rng.normal(0, 0.5)
            self.flat(s, z, VEGETATION, (bark, ((0, 0), (top, height), 0.28)))
            for angle in rng.uniform(-0.6, np.pi + 0.6, 16):
                reach, droop = rng.uniform(1.4, 2.2), rng.uniform(0.5, 1.4)
                x, y = top + reach * np.cos(angle), height + reach * 0.6 * np.sin(angle) - droop
                bend, rise = top + 0.55 * (x - top), height + 0.5 * reach * np.sin(angle)
                leaf = [(top, height), (bend, rise + 0.4), (x, y), (bend, rise - 0.05)]
                self.flat(s, z, VEGETATION, (tones[rng.integers(3)], leaf))
            return
        base = {"round": 0.3, "tall": 0.1, "bush": 0.0}[form] * height
        radius = {"round": 0.36, "tall": 0.15, "bush": 0.75}[form] * height
        middle, rise = (base + height) / 2, (height - base) / 2
        trunk = (bark, ((0, 0), (0, base + 0.3 * height), 0.045 * height))
        self.flat(s, z, VEGETATION, trunk, (tones[0], (0, middle, 0.8 * radius, 0.85 * rise)))
        count = int(np.clip(1000 / z, 12, 90))
        turn, out = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count)) * 0.95
        lump = radius * rng.uniform(0.1, 0.3, count) * (1.2 if form == "tall" else 1.0)
        lumps = np.stack([radius * out * np.cos(turn), middle + rise * out * np.sin(turn), lump], 1).tolist()
        scale = 2 * self.view.focal / z
        for layer, (ink, grow) in enumerate(zip(tones, (1.2, 0.95, 0.6))):
            right, up = 0.12 * radius * layer * float(self.light.sun[0]), 0.1 * rise * layer
            for i in range(0, count, layer + 1):
                x, y, r = lumps[i]
                ((x, y),) = self.view.project([(s + x * (1 - 0.1 * layer) + right, y + up, z)], 2.0)
                r *= grow * scale
                self.pen.polygon([(x + r * a, y + r * b) for a, b in _LUMPS[(i + layer) % 8]], fill=ink)

    def lamp(self, rng, s: float, z: float, side: float, height: float) -> None:
        """side: -1 left of the road, 1 right."""
        grey = self.ink([rng.uniform(0.2, 0.55)] * 3, POLE, z)
        self.flat(s, z, POLE, (grey, ((0, 0), (0, height), 0.14)))
        if rng.random() < 0.8:
            head = _box(-side * 1.9 - 0.35, height + 0.2, -side * 1.9 + 0.35, height + 0.4)
            self.flat(s, z, POLE, (grey, ((0, height), (-side * 1.8, height + 0.3), 0.1)), (grey, head))

    def signal(self, rng, s: float, z: float, side: float, mast: bool, state: int) -> None:
        """Traffic lights; mast: with an arm over the road; state: 0 red, 1 amber, 2 green."""
        grey, heads = self.ink([rng.uniform(0.25, 0.5)] * 3, POLE, z), [(0.0, rng.uniform(2.4, 3.0))]
        self.flat(s, z, POLE, (grey, ((0, 0), (0, 5.6 if mast else heads[0][1] + 0.5), 0.14)))
        if mast:
            self.flat(s, z, POLE, (grey, ((0, 5.4), (-side * 5, 5.6), 0.12)))
            heads += [(-side * 2.6, 4.9), (-side * 4.8, 4.9)]
        rim = np.float32([0.75, 0.6, 0.1] if mast else [0.08, 0.09, 0.08])
        for x, y in heads:
            case = [
                (rim, _box(x - 0.24, y - 0.06, x + 0.24, y + 1.06)),
                ((0.08, 0.09, 0.08), _box(x - 0.2, y, x + 0.2, y + 1)),
            ]
            for i, colour in enumerate(((1, 0.1, 0.08), (1, 0.7, 0.1), (0.15, 1, 0.45))):
                case.append((np.float32(colour) * (1.3 if i == state else 0.25), (x, y + 0.83 - 0.33 * i, 0.12, 0.12)))
            self.flat(s, z, LIGHT, *case)

    def sign(self, rng, s: float, z: float, look: str) -> None:
        top, r = rng.uniform(2.2, 3.2), rng.uniform(0.34, 0.5)
        self.flat(s, z, POLE, ([rng.uniform(0.4, 0.6)] * 3, ((0, 0), (0, top), 0.08)))
        odds = [0.06, 0.08, 0.06, 0.2, 0.1, 0.3, 0.2] if look == "game" else [0.26, 0.24, 0.2, 0.02, 0.04, 0.04, 0.2]
        red, white, black, yellow, blue = np.float32(
            [[0.8, 0.08, 0.08], [0.95, 0.95, 0.95], [0.08, 0.08, 0.08], [0.95, 0.75, 0.08], [0.08, 0.25, 0.7]]
        )
        y, wide, tall, turn = top - 0.35, rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.4), np.pi * rng.integers(2)
        guide = np.float32([0.05, 0.4, 0.2]) if look == "game" else blue
        arrow = [(-0.08, y - 0.2), (0.08, y - 0.2), (0.08, y + 0.05), (0, y + 0.25), (-0.08, y + 0.05)]
        faces = (
            [(red, (0, y, r, r)), (white, (0, y, 0.72 * r, 0.72 * r))],
            [(red, _ring(3, y, 1.15 * r, turn)), (white, _ring(3, y, 0.65 * r, turn))],
            [(blue, (0, y, r, r)), (white, arrow)],
            [(black, _ring(4, y, 1.15 * r)), (yellow, _ring(4, y, 1.05 * r))],
            [(white, _ring(8, y, 1.1 * r, np.pi / 8)), (red, _ring(8, y, r, np.pi / 8))],
            [(white, _box(-0.3, y - 0.45, 0.3, y + 0.45)), (black, _box(-0.2, y - 0.06, 0.2, y + 0.06))],
            [
                (guide, _box(-wide, y - tall, wide, y + tall)),
                (white, _box(-wide * 0.7, y - 0.06, wide * 0.7, y + 0.06)),
            ],
        )
        self.flat(s, z, SIGN, *faces[rng.choice(7, p=odds)])
