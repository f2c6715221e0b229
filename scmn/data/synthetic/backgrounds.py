"""Backgrounds: large still pictures over which the camera moves."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from scmn.data.synthetic.colours import Palette
from scmn.data.synthetic.textures import colour, draw_surface, noise, plane, soft_step

_SHADOW_SCALE = 4  # shadows are soft: a quarter of the resolution is enough for them


def draw_background(
    rng: np.random.Generator, size: tuple[int, int], palette: Palette
) -> np.ndarray:
    """Draw one background in the palette's colours, uint8 (H, W, 3)."""
    kind = str(rng.choice(list(BACKGROUNDS)))
    scene = BACKGROUNDS[kind](rng, size, palette)
    # Shallow depth of field: the background is a little out of focus, sometimes very.
    blur = rng.choice([0.0, 0.0012, 0.003, 0.007], p=[0.35, 0.3, 0.25, 0.1]) * size[0]
    if blur > 0.4:
        scene = cv2.GaussianBlur(scene, (0, 0), blur)
    return np.clip(scene, 0, 255).astype(np.uint8)


def _ground(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """Sand, grass or stone: noise of many octaves with patches of a second colour and pebbles."""
    grain = noise(rng, size, cells=14.0, gain=0.85)
    tone = noise(rng, size, cells=1.5, gain=0.5)
    scene = colour(0.5 + 0.13 * tone + 0.1 * grain, palette.background_ramp(rng))
    second = colour(0.5 + 0.15 * grain, palette.background_ramp(rng))
    patches = noise(rng, size, cells=2.5, gain=0.6)
    share = soft_step(patches - np.float32(rng.uniform(0.2, 1.0)), sharpness=rng.uniform(1.5, 8.0))
    scene = cv2.blendLinear(second, scene, share, 1 - share)
    for _ in range(int(rng.integers(0, 3))):
        pebbles = _bumps(rng, size, count=int(rng.integers(30, 120)), radius=(0.008, 0.035))
        scene = _lay_over(
            scene, pebbles, colour(0.5 + 0.2 * tone, palette.background_ramp(rng)), 0.012
        )
    return scene


def _ridges(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """Hills behind hills, paler with distance."""
    height, width = size
    _, y = plane(size)
    sky = palette.background_ramp(rng, contrast=1.2)
    clouds = noise(rng, size, cells=2.0, stretch=3.0, gain=0.45)
    scene = colour(np.clip(0.72 + 0.28 * y + 0.05 * clouds, 0, 1), sky)
    haze = scene[height // 2, width // 2].copy()
    layers = int(rng.integers(3, 6))
    for layer in range(layers):
        near = (layer + 1) / layers
        crest = noise(rng, (2, width), cells=rng.uniform(0.006, 0.02), octaves=1)[0]
        rough = noise(rng, (64, width), cells=rng.uniform(4, 12), gain=0.45)[32]
        line = -0.45 + 1.15 * near * near + 0.1 * crest + (0.02 + 0.03 * near) * rough
        share = soft_step(y - line[None].astype(np.float32), sharpness=height / 3)
        texture = noise(rng, size, cells=4 + 10 * near, gain=0.7, stretch=rng.uniform(0.7, 2.5))
        shade = 0.62 - 0.3 * near + 0.12 * texture - 0.12 * np.clip(y - line[None], 0, 1)
        hill = colour(shade, palette.background_ramp(rng, contrast=1.4))
        hill = hill * np.float32(0.35 + 0.65 * near) + haze * np.float32(0.65 * (1 - near))
        scene = cv2.blendLinear(hill, scene, share, 1 - share)
    return scene


def _leaves(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """Overlapping cut-outs from large to small: the dead-leaves model of natural images."""
    tone = noise(rng, size, cells=3.0, gain=0.7)
    scene = colour(0.5 + 0.12 * tone, palette.background_ramp(rng))
    layers = int(rng.integers(5, 9))
    for layer in range(layers):
        large = 0.32 * 0.68**layer
        leaves = _bumps(rng, size, count=round(0.7 / large), radius=(large * 0.5, large))
        turned = tone if layer % 2 else -tone
        sheet = colour(0.5 + 0.14 * turned, palette.background_ramp(rng, contrast=1.1))
        scene = _lay_over(scene, leaves, sheet, 0.02)
    return scene


def _floor(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """Tiles or planks with joints, each of its own shade."""
    x, y = plane(size)
    angle = np.float32(rng.uniform(-0.5, 0.5))
    rows = rng.uniform(3.0, 7.0)
    u = (x * np.cos(angle) + y * np.sin(angle)) * np.float32(rows / rng.choice([1.0, 2.0, 5.0]))
    v = (y * np.cos(angle) - x * np.sin(angle)) * np.float32(rows)
    row = np.floor(v)
    u = u + (row * np.float32(0.37)) % 1
    code = (np.floor(u) * 57 + row * 131).astype(np.int32) & 1023
    shades = rng.normal(0, 0.09, 1024).astype(np.float32)
    grain = noise(rng, size, cells=10.0, stretch=rng.choice([1.0, 6.0]), gain=0.75)
    tone = noise(rng, size, cells=1.5, gain=0.5, octaves=3)
    scene = colour(0.52 + shades[code] + 0.08 * grain + 0.08 * tone, palette.background_ramp(rng))
    edge = np.minimum(_to_joint(u) * np.float32(rows / 2), _to_joint(v))
    joint = 1 - np.float32(0.45) * soft_step(0.03 - edge, sharpness=25.0)
    return scene * joint[..., None]


def _to_joint(coordinate: np.ndarray) -> np.ndarray:
    return 0.5 - np.abs(coordinate - np.floor(coordinate) - 0.5)


def _water(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """Ripples or folded cloth: bands bent by noise, with bright crests."""
    x, y = plane(size)
    angle = rng.uniform(-0.6, 0.6)
    bend = noise(rng, size, cells=1.5, gain=0.5, stretch=1.6)
    across = (y * np.cos(angle) + x * np.sin(angle)).astype(np.float32) * rng.uniform(4, 14)
    band = 0.5 + 0.5 * np.sin(across + np.float32(rng.uniform(1.0, 2.6)) * bend)
    fine = noise(rng, size, cells=12.0, gain=0.7, stretch=rng.uniform(1.0, 4.0))
    tone = np.float32(rng.uniform(0.25, 0.5)) * (band**2 - 0.4) + 0.07 * fine
    return colour(0.45 + tone, palette.background_ramp(rng, contrast=1.1))


def _lights(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """Discs of light far out of focus."""
    tone = noise(rng, size, cells=1.2, octaves=2, gain=0.4)
    scene = colour(0.25 + 0.16 * tone, palette.background_ramp(rng))
    for layer in range(4):
        discs = _bumps(rng, size, count=14, radius=(0.012, 0.04 + 0.025 * layer), round_only=True)
        lamp, _ = palette.object_ramps(rng, layer)
        glow = colour(np.full(size, 0.95, np.float32), lamp)
        share = discs * np.float32(rng.uniform(0.2, 0.65))
        scene = cv2.blendLinear(glow, scene, share, 1 - share)
    grain = noise(rng, size, cells=20.0, gain=0.8)
    return scene * (1 + np.float32(0.03) * grain)[..., None]


def _cloth(rng: np.random.Generator, size: tuple[int, int], palette: Palette) -> np.ndarray:
    """A patterned sheet like those of the objects: a busy background."""
    sheet = draw_surface(rng, palette.camouflage_ramps(rng)).draw(rng, size).astype(np.float32)
    folds = noise(rng, size, cells=1.5, octaves=3, gain=0.4)
    return sheet * (1 + np.float32(0.09) * folds)[..., None]


def _bumps(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    count: int,
    radius: tuple[float, float],
    round_only: bool = False,
) -> np.ndarray:
    """Return the coverage of random smooth shapes, float32 (H, W); radii relative to the height."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = np.array([2, 3, 4])
    for _ in range(count):
        wobble = rng.normal(0, 0.0 if round_only else 0.5, 3) / waves
        outline = 1 + np.cos(np.multiply.outer(angle, waves) + rng.uniform(0, 6.3, 3)) @ wobble
        reach = np.exp(rng.uniform(*np.log(radius))) * height * np.maximum(outline, 0.2)
        centre = rng.uniform(0, 1, 2) * [width, height]
        points = centre + reach[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _lay_over(
    scene: np.ndarray, coverage: np.ndarray, sheet: np.ndarray, thickness: float
) -> np.ndarray:
    """Lay a cut-out sheet over a scene, with a soft shadow below it."""
    height, width = coverage.shape
    small = cv2.resize(
        coverage, (width // _SHADOW_SCALE, height // _SHADOW_SCALE), interpolation=cv2.INTER_AREA
    )
    offset = thickness * small.shape[0]
    shift = np.array([[1, 0, 0.5 * offset], [0, 1, offset]])
    small = cv2.warpAffine(small, shift, small.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    small = 1 - np.float32(0.4) * cv2.GaussianBlur(small, (0, 0), max(offset * 0.8, 0.5))
    shaded = scene * cv2.resize(small, (width, height))[..., None]
    return cv2.blendLinear(sheet, shaded, coverage, 1 - coverage)


BACKGROUNDS: dict[str, Callable[[np.random.Generator, tuple[int, int], Palette], np.ndarray]] = {
    "ground": _ground,
    "ridges": _ridges,
    "leaves": _leaves,
    "floor": _floor,
    "water": _water,
    "lights": _lights,
    "cloth": _cloth,
}
