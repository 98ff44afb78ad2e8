"""Colours, noise and textures of drawn streets: ground, facades, fences, hedges.

Colours are float32 RGB, 1 = white; pictures are (3, h, w); lengths are metres.
"""

from __future__ import annotations

import colorsys
import functools

import numpy as np

HOUSE, GLASS, HEDGE, BOARDS, BARS, MASONRY = range(6)  # kinds of upright surface


@functools.cache
def _tile() -> np.ndarray:
    """Tileable 1/f noise: float32 (1024, 1024), mean 0, standard deviation 1; the same in every scene."""
    spectrum = np.fft.rfft2(np.random.default_rng(7).standard_normal((1024, 1024)))
    radius = np.hypot(np.fft.fftfreq(1024)[:, None], np.fft.rfftfreq(1024)[None])
    tile = np.fft.irfft2(spectrum / np.maximum(radius, 1 / 400) ** 0.95)
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


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


def tint(colour) -> np.ndarray:
    """A colour (3,) as float32 (3, 1, 1), to be spread over pictures (3, h, w), far faster than over (h, w, 3)."""
    return np.asarray(colour, np.float32)[:, None, None]


def paint_colour(rng, hues, saturation, value) -> np.ndarray:
    """A colour (3,) with a hue near one of `hues` and saturation and value from two ranges."""
    hue = (hues[int(rng.integers(len(hues)))] + rng.normal(0, 0.015)) % 1
    return np.float32(colorsys.hsv_to_rgb(float(hue), rng.uniform(*saturation), rng.uniform(*value)))


def leaf_colour(look: str, rng) -> np.ndarray:
    """Green to autumn brown (3,)."""
    if look == "game":
        return paint_colour(rng, (0.22, 0.25, 0.28, 0.3), (0.45, 0.8), (0.35, 0.62))
    return paint_colour(rng, (0.13, 0.18, 0.21, 0.24, 0.27), (0.2, 0.55), (0.22, 0.5))


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
    colour = tint(stone) * (1 + 0.07 * fine + 0.06 * patches - 0.25 * joint + 0.1 * (tiles - 0.5) * near)
    edge = cover(kerb, 0.0, 0.22, 1e3, pixel) * (kerb < 5) * np.float32(0.7)
    colour += (tint([0.72, 0.71, 0.68]) * (1.1 if game else 0.9) - colour) * edge
    lawn = leaf_colour(look, rng) * np.float32([1.15, 1.05, 0.8])
    np.copyto(colour, tint(lawn) * (1 + 0.16 * fine + 0.14 * patches), where=grass)
    street = tint(asphalt) * (shade * (1 - 0.12 * cover(-kerb, 0.0, 0.35, 1e3, pixel)))
    street += (tint([0.95, 0.95, 0.93]) - street) * (white * np.clip(fresh, 0, 1))
    street += (tint([0.95, 0.7, 0.12]) - street) * (yellow * np.clip(fresh, 0, 1))
    np.copyto(colour, street, where=road)
    return colour


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
