"""How a drawn street looks: habits and palettes of the two looks, weather and light, development.

A game's look is clean, saturated, sharp and hard-lit; a camera's is muted, hazy, soft, noisy and compressed.
Colours are float32 RGB, 1 = white; pictures are (3, h, w); lengths are metres.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from ass_tf.streets.textures import BARS, BOARDS, HEDGE, HOUSE, MASONRY, grain, leaf_colour, paint_colour, tint

FACADE = np.dtype(
    [("kind", "i2"), ("label", "u1"), ("base", "f4", 3), ("trim", "f4", 3), ("pane", "f4", 3), ("roof", "f4", 3)]
    + [(name, "f4") for name in ("height", "roof_height", "ground", "storey", "bay", "wide", "tall", "shop", "salt")]
)  # one upright surface: lengths in metres; `wide` and `tall` are a window's shares of its bay and storey


Colour = tuple[float, float, float]
DAYLIGHT = (1.0, 0.96, 0.88)


class Weather(NamedTuple):
    """Sun and sky of a weather in either look; pairs are the ends of a uniform range."""

    elevation: tuple[float, float]  # of the sun, degrees
    direct: float  # strength of the sunlight
    sunlight: Colour
    ambient: float  # strength of the skylight
    skylight: Colour
    clouds: tuple[float, float]  # share of the sky


class Sky(NamedTuple):
    """What a look makes of a weather."""

    share: float  # of the look's scenes
    zenith: Colour  # overhead
    fog: Colour  # of the horizon and of distant things
    sight: float  # metres


WEATHERS = {
    "clear": Weather((25, 65), 0.85, DAYLIGHT, ambient=0.5, skylight=(0.92, 0.98, 1.1), clouds=(0, 0.35)),
    "cloudy": Weather((25, 65), 0.6, DAYLIGHT, ambient=0.55, skylight=(0.96, 1, 1.04), clouds=(0.4, 0.65)),
    "overcast": Weather((25, 65), 0.08, DAYLIGHT, ambient=0.82, skylight=(1, 1, 1), clouds=(0.8, 0.8)),
    "hazy": Weather((25, 65), 0.3, DAYLIGHT, ambient=0.66, skylight=(1, 1, 0.98), clouds=(0, 0.5)),
    "dusk": Weather((8, 20), 0.75, (1.15, 0.8, 0.5), ambient=0.46, skylight=(0.95, 0.92, 1.1), clouds=(0.2, 0.6)),
}


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
    skies: dict[str, Sky]  # by weather
    saturation: tuple[float, float]  # of paint
    hues: tuple[float, ...]  # of facades


LOOKS = {
    "game": Look(
        focal=(0.72, 1.05), eye=(1.5, 2.5), horizon=(0.38, 0.52), lanes=(2, 2, 3, 4, 4, 6), lane=(3.3, 4.0),
        walk=(2.0, 5.0), storeys=(1, 6), tower=0.22, gap=0.36, setback=(0.0, 6.0), verge=0.4, yellow=0.75,
        parked=0.012, traffic=0.014, people=0.02, bicycles=0.004, trees=0.022, palms=0.4, poles=0.028, signs=0.016,
        lights=0.5, saturation=(0.08, 0.62),
        hues=(0.02, 0.04, 0.06, 0.08, 0.1, 0.11, 0.12, 0.14, 0.16, 0.45, 0.55, 0.6),
        skies={
            "clear": Sky(0.42, zenith=(0.18, 0.42, 0.86), fog=(0.66, 0.82, 0.98), sight=1500),
            "cloudy": Sky(0.2, zenith=(0.3, 0.5, 0.85), fog=(0.75, 0.85, 0.95), sight=1200),
            "overcast": Sky(0.1, zenith=(0.55, 0.6, 0.68), fog=(0.7, 0.74, 0.78), sight=500),
            "hazy": Sky(0.06, zenith=(0.62, 0.72, 0.8), fog=(0.8, 0.8, 0.76), sight=180),
            "dusk": Sky(0.22, zenith=(0.3, 0.32, 0.6), fog=(1.0, 0.66, 0.4), sight=600),
        },
    ),
    "camera": Look(
        focal=(0.95, 1.25), eye=(1.1, 1.4), horizon=(0.4, 0.5), lanes=(1, 2, 2, 2, 3, 4), lane=(2.8, 3.5),
        walk=(1.6, 4.0), storeys=(2, 6), tower=0.04, gap=0.24, setback=(0.0, 3.0), verge=0.22, yellow=0.04,
        parked=0.05, traffic=0.02, people=0.045, bicycles=0.012, trees=0.038, palms=0.0, poles=0.045, signs=0.03,
        lights=0.55, saturation=(0.03, 0.38), hues=(0.03, 0.06, 0.08, 0.1, 0.11, 0.13, 0.15, 0.58),
        skies={
            "clear": Sky(0.18, zenith=(0.45, 0.6, 0.82), fog=(0.86, 0.9, 0.94), sight=400),
            "cloudy": Sky(0.25, zenith=(0.6, 0.7, 0.83), fog=(0.88, 0.9, 0.92), sight=350),
            "overcast": Sky(0.36, zenith=(0.8, 0.82, 0.84), fog=(0.9, 0.91, 0.91), sight=260),
            "hazy": Sky(0.16, zenith=(0.82, 0.84, 0.84), fog=(0.9, 0.9, 0.87), sight=110),
            "dusk": Sky(0.05, zenith=(0.55, 0.55, 0.68), fog=(0.98, 0.82, 0.68), sight=300),
        },
    ),
}  # fmt: skip


@functools.cache
def _white_tile() -> np.ndarray:
    return np.random.default_rng(8).standard_normal((1024, 1024)).astype(np.float32)


def _white(h: int, w: int, rng) -> np.ndarray:
    """White noise (h, w) cut from a fixed tile at a random place."""
    i, j = rng.integers(1024, size=2)
    tile = np.roll(_white_tile(), (i, j), (0, 1)) if max(h, w) > 512 else _white_tile()[i % 512 :, j % 512 :]
    return np.tile(tile, (-(-h // 1024), -(-w // 1024)))[:h, :w]


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
    skies = LOOKS[look].skies
    name = list(skies)[rng.choice(len(skies), p=[sky.share for sky in skies.values()])]
    weather, sky = WEATHERS[name], skies[name]
    elevation = np.deg2rad(rng.uniform(*weather.elevation))
    azimuth = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(elevation), np.sin(elevation)
    direct, ambient = weather.direct * rng.uniform(0.85, 1.15), weather.ambient * rng.uniform(0.85, 1.15)
    zenith = np.float32(sky.zenith) * rng.uniform(0.85, 1.12, 3).astype(np.float32)
    fog = np.float32(sky.fog) * rng.uniform(0.94, 1.04, 3).astype(np.float32)
    # Every weather draws its clouds, so that a seed keeps its scene; overcast has nothing to draw.
    ranges = {each: weather.clouds for each, weather in WEATHERS.items()}
    clouds = {each: low if low == high else rng.uniform(low, high) for each, (low, high) in ranges.items()}
    return Light(
        sun=np.float32([np.sin(azimuth) * c, s, np.cos(azimuth) * c]),
        direct=direct * np.float32(weather.sunlight),
        ambient=ambient * np.float32(weather.skylight),
        shadow=(float(-np.sin(azimuth) * c / s), float(-np.cos(azimuth) * c / s)),
        zenith=zenith,
        fog=fog,
        clouds=clouds[name],
        sight=sky.sight * rng.uniform(0.7, 1.3),
    )


def paint_sky(light: Light, across, up, salt: float):
    """Sky in the directions (across, up, 1): arrays (h, w) -> float32 (3, h, w)."""
    height = np.clip(up / 0.55, 0, 1) ** np.float32(0.6)
    sky = tint(light.fog) + tint(light.zenith - light.fog) * height
    u, v = across / (up + 0.12), 1 / (up + 0.12)
    noise = grain(u, v, 60, salt) + 0.4 * grain(u, v, 190, salt + 0.37)
    cloud = np.clip((noise + 2.6 * light.clouds - 1.6) * 0.9, 0, 1) * np.float32(0.9)
    white = tint(np.clip(light.ambient * 0.75 + light.direct * 0.6 + 0.1, 0, 1.05)) * (1 - 0.07 * np.clip(noise, 0, 2))
    sky += (white - sky) * cloud
    if light.sun[2] > 0:
        glow = np.exp(-8 * ((across - light.sun[0]) ** 2 + (up - light.sun[1]) ** 2))
        sky += tint(light.direct * 0.5) * glow
    return sky


def sample_facade(look: str, rng, kind: int, label: int, height: float = 0.0) -> dict[str, Any]:
    """The fields of one row of FACADE; a building's height is rounded to whole storeys."""
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
        plain = {"trim": base, "pane": base, "roof": base, "roof_height": 0, "ground": 0, "storey": 1, "shop": 0}
        fields = {"height": height, "bay": slat, "wide": 0.5, "tall": 0.5, "salt": salt}
        return {"kind": kind, "label": label, "base": base, **plain, **fields}
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
    return {
        "kind": kind, "label": label, "base": base, "trim": trim, "pane": pane, "roof": roof, "height": height,
        "roof_height": roof_height, "ground": ground, "storey": storey, "bay": bay, "wide": wide, "tall": tall,
        "shop": shop, "salt": salt,
    }  # fmt: skip


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
    image -= tint(light.fog)
    image *= clear
    image += tint(light.fog)
    game = look == "game"
    image *= tint(rng.normal(1, 0.015 if game else 0.035, 3)) * (
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
