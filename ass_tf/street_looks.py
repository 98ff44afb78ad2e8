"""How a drawn street looks: habits and palettes of the two looks, light, textures, things, development.

A game's look is clean, saturated, sharp and hard-lit; a camera's is muted, hazy, soft, noisy and compressed. Where
things stand is left to `streets`. Colours are float32 RGB, 1 = white; pictures are (3, h, w); lengths are metres.
"""

from __future__ import annotations

import colorsys
import functools
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ass_tf import labels

HOUSE, GLASS, HEDGE, BOARDS, BARS, MASONRY = range(6)  # kinds of upright surface

FACADE = np.dtype(
    [("kind", "i2"), ("label", "u1"), ("base", "f4", 3), ("trim", "f4", 3), ("pane", "f4", 3), ("roof", "f4", 3)]
    + [(name, "f4") for name in ("height", "roof_height", "ground", "storey", "bay", "wide", "tall", "shop", "salt")]
)  # one upright surface: lengths in metres; `wide` and `tall` are a window's shares of its bay and storey


@dataclass(frozen=True)
class Look:
    """Habits of one look; pairs are the ends of a uniform range, metres where they are lengths."""

    focal: tuple[float, float]  # image widths
    eye: tuple[float, float]  # height of the camera
    horizon: tuple[float, float]  # image heights from the top
    lanes: tuple[int, ...]
    lane: tuple[float, float]
    walk: tuple[float, float]
    storeys: tuple[int, int]
    tower: float  # share of buildings that are high
    gap: float  # share of lots without a building
    setback: tuple[float, float]
    verge: float
    yellow: float  # share of roads with yellow markings
    parked: float  # cars per metre of kerb
    traffic: float  # cars per metre of lane
    people: float  # per metre of pavement
    bicycles: float
    trees: float  # per metre of side
    palms: float
    poles: float
    signs: float
    lights: float  # share of streets with traffic lights
    weather: tuple[float, ...]  # clear, cloudy, overcast, hazy, dusk
    saturation: tuple[float, float]  # of paint
    hues: tuple[float, ...]  # of facades


LOOKS = {
    "game": Look(
        focal=(0.72, 1.05), eye=(1.5, 2.5), horizon=(0.38, 0.52), lanes=(2, 2, 3, 4, 4, 6), lane=(3.3, 4.0),
        walk=(2.0, 5.0), storeys=(1, 6), tower=0.22, gap=0.36, setback=(0.0, 6.0), verge=0.4, yellow=0.75,
        parked=0.012, traffic=0.014, people=0.02, bicycles=0.004, trees=0.022, palms=0.4, poles=0.028, signs=0.016,
        lights=0.5, weather=(0.42, 0.2, 0.1, 0.06, 0.22), saturation=(0.08, 0.62),
        hues=(0.02, 0.04, 0.06, 0.08, 0.1, 0.11, 0.12, 0.14, 0.16, 0.45, 0.55, 0.6),
    ),
    "camera": Look(
        focal=(0.95, 1.25), eye=(1.1, 1.4), horizon=(0.4, 0.5), lanes=(1, 2, 2, 2, 3, 4), lane=(2.8, 3.5),
        walk=(1.6, 4.0), storeys=(2, 6), tower=0.04, gap=0.24, setback=(0.0, 3.0), verge=0.22, yellow=0.04,
        parked=0.05, traffic=0.02, people=0.045, bicycles=0.012, trees=0.038, palms=0.0, poles=0.045, signs=0.03,
        lights=0.55, weather=(0.18, 0.25, 0.36, 0.16, 0.05), saturation=(0.03, 0.38),
        hues=(0.03, 0.06, 0.08, 0.1, 0.11, 0.13, 0.15, 0.58),
    ),
}  # fmt: skip


# Colour overhead, colour of the horizon and of distant things, sight in metres; in the order of `Look.weather`.
SKIES = {
    "game": (
        ((0.18, 0.42, 0.86), (0.66, 0.82, 0.98), 1500),
        ((0.3, 0.5, 0.85), (0.75, 0.85, 0.95), 1200),
        ((0.55, 0.6, 0.68), (0.7, 0.74, 0.78), 500),
        ((0.62, 0.72, 0.8), (0.8, 0.8, 0.76), 180),
        ((0.3, 0.32, 0.6), (1.0, 0.66, 0.4), 600),
    ),
    "camera": (
        ((0.45, 0.6, 0.82), (0.86, 0.9, 0.94), 400),
        ((0.6, 0.7, 0.83), (0.88, 0.9, 0.92), 350),
        ((0.8, 0.82, 0.84), (0.9, 0.91, 0.91), 260),
        ((0.82, 0.84, 0.84), (0.9, 0.9, 0.87), 110),
        ((0.55, 0.55, 0.68), (0.98, 0.82, 0.68), 300),
    ),
}


@functools.cache
def _tile() -> np.ndarray:
    """Tileable 1/f noise: float32 (1024, 1024), mean 0, standard deviation 1; the same in every scene."""
    spectrum = np.fft.rfft2(np.random.default_rng(7).standard_normal((1024, 1024)))
    radius = np.hypot(np.fft.fftfreq(1024)[:, None], np.fft.rfftfreq(1024)[None])
    tile = np.fft.irfft2(spectrum / np.maximum(radius, 1 / 400) ** 0.95)
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


@functools.cache
def _white_tile() -> np.ndarray:
    return np.random.default_rng(8).standard_normal((1024, 1024)).astype(np.float32)


def _white(h: int, w: int, rng) -> np.ndarray:
    """White noise (h, w) cut from a fixed tile at a random place."""
    i, j = rng.integers(1024, size=2)
    tile = np.roll(_white_tile(), (i, j), (0, 1)) if max(h, w) > 512 else _white_tile()[i % 512 :, j % 512 :]
    return np.tile(tile, (-(-h // 1024), -(-w // 1024)))[:h, :w]


def grain(u, v, per_metre: float = 30.0, salt: float = 0.0):
    """Noise at the point (u, v) of a surface: arrays of one shape, metres -> float32, standard deviation 1."""
    i = (v * per_metre + salt * 977.0).astype(np.int32) & 1023
    j = (u * per_metre + salt * 613.0).astype(np.int32) & 1023
    return _tile().ravel()[i * 1024 + j]


def cell_random(i, j, salt):
    """A number in [0, 1) for each cell (i, j): float32, the same wherever the same cell is asked for."""
    x = np.sin(i * 12.9898 + j * 78.233 + salt * 37.719) * 43758.547
    return (x - np.floor(x)).astype(np.float32)


def cover(x, low, high, period, footprint):
    """Share of a pixel in which low <= x < high, for x of one period; far away it tends to the mean."""
    edge = np.clip((x - low) / footprint + 0.5, 0, 1) * np.clip((high - x) / footprint + 0.5, 0, 1)
    far = np.clip(1.6 * footprint / period - 0.6, 0, 1)
    return edge + (np.clip((high - low) / period, 0, 1) - edge) * far


def paint_colour(rng, hues, saturation, value) -> np.ndarray:
    """A colour (3,) with a hue near one of `hues` and saturation and value from two ranges."""
    hue = (hues[int(rng.integers(len(hues)))] + rng.normal(0, 0.015)) % 1
    return np.float32(colorsys.hsv_to_rgb(float(hue), rng.uniform(*saturation), rng.uniform(*value)))


def _tint(colour) -> np.ndarray:
    """A colour (3,) as float32 (3, 1, 1), to be spread over pictures (3, h, w), far faster than over (h, w, 3)."""
    return np.asarray(colour, np.float32)[:, None, None]


@dataclass(frozen=True)
class Light:
    """Sun, sky and air of one scene."""

    sun: np.ndarray  # (3,) unit vector towards the sun: right, up, ahead
    direct: np.ndarray  # (3,) colour of sunlight
    ambient: np.ndarray  # (3,) colour of skylight
    shadow: tuple[float, float]  # metres right and ahead that the shadow of a point 1 m high falls
    zenith: np.ndarray
    fog: np.ndarray
    clouds: float  # share of the sky
    sight: float  # metres after which 1/e of an object's contrast is left

    def face(self, *normal: float) -> np.ndarray:
        """Light (3,) that falls on a surface with this normal (right, up, ahead)."""
        return self.ambient * (0.9 + 0.1 * normal[1]) + self.direct * max(0.0, float(np.dot(normal, self.sun)))


def sample_light(look: str, rng) -> Light:
    """Weather and hour of one scene."""
    weather = rng.choice(5, p=LOOKS[look].weather)
    elevation = np.deg2rad(rng.uniform(8, 20) if weather == 4 else rng.uniform(25, 65))
    azimuth = rng.uniform(0, 2 * np.pi)
    strength = (0.85, 0.6, 0.08, 0.3, 0.75)[weather] * rng.uniform(0.85, 1.15)
    ambient = (0.5, 0.55, 0.82, 0.66, 0.46)[weather] * rng.uniform(0.85, 1.15)
    warm = np.float32([1.0, 0.96, 0.88] if weather != 4 else [1.15, 0.8, 0.5])
    blue = np.float32([[0.92, 0.98, 1.1], [0.96, 1, 1.04], [1, 1, 1], [1, 1, 0.98], [0.95, 0.92, 1.1]][weather])
    zenith, fog, sight = SKIES[look][weather]
    c, s = np.cos(elevation), np.sin(elevation)
    return Light(
        sun=np.float32([np.sin(azimuth) * c, s, np.cos(azimuth) * c]),
        direct=strength * warm,
        ambient=ambient * blue,
        shadow=(float(-np.sin(azimuth) * c / s), float(-np.cos(azimuth) * c / s)),
        zenith=np.float32(zenith) * rng.uniform(0.85, 1.12, 3).astype(np.float32),
        fog=np.float32(fog) * rng.uniform(0.94, 1.04, 3).astype(np.float32),
        clouds=(rng.uniform(0, 0.35), rng.uniform(0.4, 0.65), 0.8, rng.uniform(0, 0.5), rng.uniform(0.2, 0.6))[weather],
        sight=sight * rng.uniform(0.7, 1.3),
    )


def paint_sky(light: Light, across, up, salt: float):
    """Sky in the directions (across, up, 1): arrays (h, w) -> float32 (3, h, w)."""
    height = np.clip(up / 0.55, 0, 1) ** np.float32(0.6)
    sky = _tint(light.fog) + _tint(light.zenith - light.fog) * height
    u, v = across / (up + 0.12), 1 / (up + 0.12)
    noise = grain(u, v, 60, salt) + 0.4 * grain(u, v, 190, salt + 0.37)
    cloud = np.clip((noise + 2.6 * light.clouds - 1.6) * 0.9, 0, 1) * np.float32(0.9)
    white = _tint(np.clip(light.ambient * 0.75 + light.direct * 0.6 + 0.1, 0, 1.05)) * (1 - 0.07 * np.clip(noise, 0, 2))
    sky += (white - sky) * cloud
    if light.sun[2] > 0:
        glow = np.exp(-8 * ((across - light.sun[0]) ** 2 + (up - light.sun[1]) ** 2))
        sky += _tint(light.direct * 0.5) * glow
    return sky


def paint_ground(look: str, rng, road, grass, s, z, focal: float, white, yellow, kerb):
    """Texture of the ground.

    Args:
        road, grass: bool (h, w). The rest is pavement.
        s, z: float32 (h, w). Metres right and ahead.
        focal: pixels.
        white, yellow: float32 (h, w). Share of the pixel that is marking.
        kerb: float32 (h, w). Metres past the road's edge.

    Returns:
        colour: float32 (3, h, w).
    """
    game, salt = look == "game", rng.random()
    near = 1 / (1 + z / 18)
    fine, patches = grain(s, z, 45, salt) * near, grain(s, z * 0.4, 3, salt)
    tone = rng.uniform(0.3, 0.55) if game else rng.uniform(0.36, 0.68)
    asphalt = tone * np.float32([1, 1 + rng.normal(0, 0.01), 1 + rng.normal(0.02, 0.03)])
    worn = cell_random(np.floor(s / 3.1 + salt * 9), np.floor(z / 13), salt) < rng.uniform(0, 0.3)
    shade = 1 + 0.1 * fine + 0.06 * patches - 0.14 * worn
    fresh = rng.uniform(0.7, 1.0) - 0.25 * np.clip(patches, 0, 1)
    slab = rng.uniform(0.4, 1.2)
    pixel = np.maximum(z / focal, 0.004)
    joint = cover(np.mod(s, slab), 0, 0.03, slab, pixel)
    joint = np.maximum(joint, cover(np.mod(z, slab), 0, 0.03, slab, pixel * z / 2))
    stone = paint_colour(rng, (0.03, 0.08, 0.1, 0.6), (0.0, 0.22), (0.5, 0.82) if game else (0.45, 0.78))
    tiles = cell_random(np.floor(s / slab), np.floor(z / slab), salt)
    colour = _tint(stone) * (1 + 0.07 * fine + 0.06 * patches - 0.25 * joint + 0.1 * (tiles - 0.5) * near)
    edge = cover(kerb, 0.0, 0.22, 1e3, pixel) * (kerb < 5) * np.float32(0.7)
    colour += (_tint([0.72, 0.71, 0.68]) * (1.1 if game else 0.9) - colour) * edge
    lawn = leaf_colour(look, rng) * np.float32([1.15, 1.05, 0.8])
    np.copyto(colour, _tint(lawn) * (1 + 0.16 * fine + 0.14 * patches), where=grass)
    street = _tint(asphalt) * (shade * (1 - 0.12 * cover(-kerb, 0.0, 0.35, 1e3, pixel)))
    street += (_tint([0.95, 0.95, 0.93]) - street) * (white * np.clip(fresh, 0, 1))
    street += (_tint([0.95, 0.7, 0.12]) - street) * (yellow * np.clip(fresh, 0, 1))
    np.copyto(colour, street, where=road)
    return colour


def sample_facade(look: str, rng, kind: int, label: int, height: float = 0.0) -> tuple:
    """One row of FACADE; a building's height is rounded to whole storeys."""
    habits = LOOKS[look]
    value = (0.5, 1.0) if look == "game" else (0.38, 0.85)
    base = paint_colour(rng, habits.hues, habits.saturation, value)
    if kind in (HEDGE, BOARDS, BARS, MASONRY):
        if kind == HEDGE:
            base = leaf_colour(look, rng) * 0.8
        elif kind == BARS:
            base = np.float32([0.12, 0.13, 0.13]) if rng.random() < 0.6 else np.float32([0.75, 0.76, 0.78])
        elif kind == BOARDS:
            base = paint_colour(rng, (0.07, 0.09), (0.1, 0.5), (0.35, 0.85))
        slat, salt = rng.uniform(0.14, 0.3), rng.random()
        return kind, label, base, base, base, base, height, 0, 0, 1, slat, 0.5, 0.5, 0, salt
    storey = rng.uniform(2.9, 3.9)
    pitched = rng.random() < (0.2 if look == "game" else 0.6) and height < 22
    roof_height = rng.uniform(1.2, 2.6) if pitched else rng.uniform(0.2, 0.7)
    roof = paint_colour(rng, (0.02, 0.05), (0.2, 0.7), (0.3, 0.6)) if pitched else base * rng.uniform(0.6, 1.2)
    trim = np.clip(base * 0.4 + rng.uniform(0.3, 0.6), 0, 1) if rng.random() < 0.7 else base * 0.6
    pane = paint_colour(rng, (0.55, 0.58, 0.12), (0.05, 0.5), (0.1, 0.42 if kind == HOUSE else 0.75))
    ground = storey + rng.uniform(0.2, 1.2)
    height = ground + storey * max(0, round((height - ground) / storey)) + roof_height
    shop = float(rng.random()) if rng.random() < 0.6 else -1.0
    wide, tall = (rng.uniform(0.35, 0.62), rng.uniform(0.4, 0.62)) if kind == HOUSE else (0.9, rng.uniform(0.55, 0.85))
    bay, salt = rng.uniform(1.7, 3.4), rng.random()
    paints, upright = (base, trim, pane, roof), (height, roof_height, ground, storey)
    return kind, label, *paints, *upright, bay, wide, tall, shop, salt


def leaf_colour(look: str, rng) -> np.ndarray:
    """Green to autumn brown (3,)."""
    if look == "game":
        return paint_colour(rng, (0.22, 0.25, 0.28, 0.3), (0.45, 0.8), (0.35, 0.62))
    return paint_colour(rng, (0.13, 0.18, 0.21, 0.24, 0.27), (0.2, 0.55), (0.22, 0.5))


def paint_surfaces(facades, row, u, v, footprint, light_on):
    """Texture of upright surfaces: n pixels at once.

    Args:
        facades: FACADE (m,). The surfaces.
        row: int (n,). Which surface each pixel shows.
        u, v: float32 (n,). Metres along it and above the ground.
        footprint: float32 (n,). Metres along it that the pixel covers.
        light_on: float32 (3, n).

    Returns:
        colour: float32 (3, n).
        alpha: float32 (n,). Below 1 between the bars of a fence.
    """

    def get(name, at):
        return np.take(np.ascontiguousarray(facades[name].T), at, -1)

    colour = get("base", row) * (1 + 0.06 * grain(u, v, 14) + 0.05 * grain(u, v, 2, 0.3))
    kind, fine = get("kind", row), np.maximum(footprint * 0.5, 0.004)  # a pixel's height, about
    alpha = np.ones(len(u), np.float32)

    house = np.flatnonzero(kind <= GLASS)
    if len(house):
        at, x, y, wide_px, tall_px = row[house], u[house], v[house], footprint[house], fine[house]
        storey, bay, ground, salt, shop = (get(name, at) for name in ("storey", "bay", "ground", "salt", "shop"))
        wall, pane, eaves = colour[:, house], get("pane", at), get("height", at) - get("roof_height", at)
        upper = (y > ground) & (y < eaves)
        floor, column = np.floor((y - ground) / storey), np.floor(x / bay)
        px, py = x - column * bay, y - ground - floor * storey
        half, low, top = bay * get("wide", at) / 2, 0.25 * storey, (0.25 + get("tall", at)) * storey
        chance = cell_random(column, floor, salt)
        outer = cover(px, bay / 2 - half - 0.13, bay / 2 + half + 0.13, bay, wide_px)
        outer *= cover(py, low - 0.2, top + 0.12, storey, tall_px) * upper
        inner = cover(px, bay / 2 - half, bay / 2 + half, bay, wide_px) * cover(py, low, top, storey, tall_px) * upper
        band = cover(py, 0.0, 0.16, storey, tall_px) * upper * (salt > 0.4)
        wall += (get("trim", at) - wall) * np.maximum(band * 0.7, outer)
        wall += (
            pane * (0.55 + 0.7 * chance + 0.35 * (py - low) / storey) + (chance > 0.86) * np.float32(0.25) - wall
        ) * inner

        low_part = np.flatnonzero(y < ground)  # shop fronts: glass between pillars under a coloured band; or doors
        at, x, y, wide_px, tall_px = at[low_part], x[low_part], y[low_part], wide_px[low_part], tall_px[low_part]
        shop, ground, bay, below = shop[low_part], ground[low_part], bay[low_part] * 1.7, wall[:, low_part]
        unit = np.floor(x / bay)
        front = (
            cover(x - unit * bay, 0.3, bay - 0.1, bay, wide_px)
            * cover(y, 0.5, ground - 0.9, 9.0, tall_px)
            * (shop >= 0)
        )
        inside = (cell_random(unit, 3.0, salt[low_part]) > 0.6) * np.float32([[0.36], [0.32], [0.22]])
        below += (pane[:, low_part] * 0.5 + inside - below) * front
        sign = np.clip(np.abs((shop * 6 + np.float32([[0], [2], [4]])) % 6 - 3) - 1, 0, 1) * 0.6 + 0.15
        shown = cover(y, ground - 0.85, ground - 0.2, 9.0, tall_px) * (shop >= 0)
        below += (sign - below) * (shown * (0.8 + 0.2 * (grain(x, y, 40) > 0.8)))
        door = (y < 2.3) & (shop < 0) & (np.mod(x, bay * 2.4) < 1.2)
        below[:, door] = get("trim", at[door]) * 0.35
        wall[:, low_part] = below * (0.72 + 0.1 * np.minimum(y, 2.8))  # grime, and less sky near the ground

        on_roof = np.flatnonzero(v[house] > eaves)
        tiles = 1 - 0.25 * cover(np.mod(v[house][on_roof], 0.35), 0.0, 0.1, 0.35, fine[house][on_roof])
        wall[:, on_roof] = get("roof", row[house][on_roof]) * tiles
        colour[:, house] = wall

    slats = np.flatnonzero((kind == BOARDS) | (kind == BARS))
    if len(slats):
        period, height, y = get("bay", row[slats]), get("height", row[slats]), v[slats]
        bars = kind[slats] == BARS
        solid = cover(np.mod(u[slats], period), 0.0, period * np.where(bars, 0.35, 0.85), period, footprint[slats])
        solid += cover(y, 0.1, 0.2, 9.0, fine[slats]) + cover(y, height - 0.14, height, 9.0, fine[slats])
        solid = np.clip(solid, 0, 1)
        alpha[slats] = np.where(bars, 0.1 + 0.9 * solid, 1)
        colour[:, slats] *= np.where(bars, 1, 0.55 + 0.45 * solid)
    bricks = np.flatnonzero(kind == MASONRY)
    if len(bricks):
        course = np.floor(v[bricks] / 0.3)
        colour[:, bricks] *= 0.8 + 0.3 * cell_random(np.floor(u[bricks] / 0.6 + 0.5 * (course % 2)), course, 0.5)
    return colour * light_on, alpha


def develop(image, depth, look: str, light: Light, rng):
    """From light in the scene to the picture: air, exposure, lens, sensor, compression.

    Args:
        image: float32 (3, h, w). Changed in place.
        depth: float32 (h, w). Metres; inf for the sky.
        look: a key of LOOKS.
        light: the scene's.
        rng: np.random.Generator.

    Returns:
        picture: uint8 (h, w, 3).
    """
    _, h, w = image.shape
    clear = np.exp(depth * np.float32(-1 / light.sight))
    clear[np.isinf(depth)] = 1
    image -= _tint(light.fog)
    image *= clear
    image += _tint(light.fog)
    game = look == "game"
    image *= _tint(rng.normal(1, 0.015 if game else 0.035, 3)) * (
        rng.uniform(0.9, 1.12) if game else float(np.exp(rng.normal(0.16, 0.18)))
    )
    grey = image.sum(0) / 3
    image = grey + (image - grey) * (rng.uniform(1.08, 1.35) if game else rng.uniform(0.5, 0.9))
    np.clip(image, 0, 1.3, out=image)
    if game:
        image = image * (1.13 - 0.08 * image) - 0.04 + 0.08 * (image - 0.5) * (1 - np.abs(2 * image - 1))  # contrasty
        picture = Image.fromarray(_bytes(image))
        return np.array(picture.filter(ImageFilter.BoxBlur(0.12 * h / 256)))
    image = rng.uniform(0.0, 0.07) + image * rng.uniform(0.86, 0.98) / (0.8 + 0.2 * image)  # flare, soft shoulder
    y, x = np.linspace(-0.6, 0.6, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
    image *= 1 - np.float32(rng.uniform(0.08, 0.3)) * (x * x + y * y)
    soft = Image.fromarray(_bytes(image)).filter(ImageFilter.BoxBlur(rng.uniform(0.5, 1.2) * h / 256))
    noisy = np.ascontiguousarray(np.asarray(soft).transpose(2, 0, 1)).astype(np.float32) / 255
    noisy += _white(h, w, rng) * np.float32(rng.uniform(0.006, 0.024))
    for channel in (0, 2):
        noisy[channel] += _white(h, w, rng) * np.float32(rng.uniform(0.002, 0.01))
    buffer = io.BytesIO()
    Image.fromarray(_bytes(noisy)).save(buffer, "JPEG", quality=int(rng.integers(40, 85)))
    return np.array(Image.open(buffer).convert("RGB"))


def _bytes(image):
    """float (3, h, w) of 0 to 1 -> uint8 (h, w, 3)."""
    return np.ascontiguousarray((np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


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
