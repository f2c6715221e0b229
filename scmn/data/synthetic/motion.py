"""Motion over time: the camera, the paths of objects, and how they bend.

Lengths are in *units*, about the height of a frame; the centre of the frame is (0, 0) and y points
down. Time is in frames, so that objects are no faster in a shorter sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def smooth_step(value: float) -> float:
    """Return 0 below 0, 1 above 1, and a smooth rise between."""
    clipped = min(max(value, 0.0), 1.0)
    return clipped * clipped * (3 - 2 * clipped)


@dataclass(frozen=True)
class Wander:
    """A sum of slow sine waves in each of D channels, zero at frame 0."""

    amplitudes: np.ndarray
    """(K, D)."""
    rates: np.ndarray
    """(K, D), radians per frame."""
    phases: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """Return the offset at a time, (D,)."""
        moved = np.sin(self.rates * time + self.phases) - np.sin(self.phases)
        return np.asarray((self.amplitudes * moved).sum(axis=0))


def draw_wander(
    rng: np.random.Generator,
    amplitudes: tuple[float, ...],
    *,
    periods: tuple[float, float] = (24.0, 90.0),
) -> Wander:
    """Draw two waves per channel; ``periods`` are in frames."""
    shape = (2, len(amplitudes))
    scale = np.array([[1.0], [0.4]]) * rng.uniform(0.4, 1.0, shape)
    return Wander(
        amplitudes=scale * np.asarray(amplitudes),
        rates=2 * np.pi / np.exp(rng.uniform(np.log(periods[0]), np.log(periods[1]), shape)),
        phases=rng.uniform(0, 2 * np.pi, shape),
    )


@dataclass(frozen=True)
class Excursion:
    """A movement by ``offset`` and, later, back."""

    offset: np.ndarray
    """(2,), units."""
    leave: float
    """Frame at which the way out begins."""
    come_back: float
    """Frame at which the way back ends."""
    ramp: float
    """Frames that each of the two ways takes."""

    def at(self, time: float) -> np.ndarray:
        """Return the offset at a time, (2,)."""
        out = smooth_step((time - self.leave) / self.ramp)
        back = smooth_step((time - self.come_back) / self.ramp + 1)
        return self.offset * (out - back)


@dataclass(frozen=True)
class Path:
    """Where an object is, how it is turned, and how large it is."""

    anchor: np.ndarray
    """(2,): the place at frame 0, without the excursion."""
    wander: Wander
    """Of x, y, angle (radians), and the logarithm of the size."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    excursion: Excursion | None = None
    limits: np.ndarray | None = None
    """(2,): half the box that holds the centre, without velocity and excursion."""
    angle: float = 0.0
    spin: float = 0.0
    """Radians per frame."""

    def place(self, time: float) -> np.ndarray:
        """Return the centre at a time, (2,)."""
        place = self.anchor + self.wander.at(time)[:2]
        if self.limits is not None:
            place = self.limits * np.tanh(place / self.limits)
        place = place + self.velocity * time
        return place if self.excursion is None else place + self.excursion.at(time)

    def matrix(self, time: float) -> np.ndarray:
        """Return the map from the object's own coordinates (units) to the scene, (3, 3)."""
        turn, growth = self.wander.at(time)[2:]
        angle = self.angle + self.spin * time + turn
        return similarity(self.place(time), angle=angle, scale=float(np.exp(growth)))


def similarity(place: np.ndarray, *, angle: float, scale: float) -> np.ndarray:
    """Return the (3, 3) matrix that scales, turns, then moves to ``place``."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, place[0]], [sine, cosine, place[1]], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Camera:
    """A camera that follows the objects: they stay in view while the background passes by."""

    pan: Wander
    """Of x and y, units."""
    drift: np.ndarray
    """(2,), units per frame."""
    lens: Wander
    """Of the roll (radians) and the logarithm of the zoom."""
    shake: Wander
    """Of x and y, units; it moves objects and background alike."""
    reach: np.ndarray
    """(2,): limit of pan and drift together, units."""

    def view(self, time: float) -> np.ndarray:
        """Return the map from the scene to the frame, in units, (3, 3)."""
        roll, zoom = self.lens.at(time)
        return similarity(self.shake.at(time), angle=roll, scale=float(np.exp(zoom)))

    def panned(self, time: float) -> np.ndarray:
        """Return how far the background has passed by, (2,), units."""
        free = self.pan.at(time) + self.drift * time
        return np.asarray(self.reach * np.tanh(free / self.reach))


def draw_camera(rng: np.random.Generator, *, strength: float, reach: np.ndarray) -> Camera:
    """Draw a camera; ``strength`` 0 is a tripod, 1 is hand-held."""
    direction = rng.uniform(0, 2 * np.pi)
    speed = strength * rng.choice([0.0, 0.004, 0.011]) * rng.uniform(0.5, 1.5)
    jitter = 0.0015 * strength
    return Camera(
        pan=draw_wander(rng, (0.12 * strength, 0.05 * strength)),
        drift=speed * np.array([np.cos(direction), 0.4 * np.sin(direction)]),
        lens=draw_wander(rng, (0.03 * strength, 0.07 * strength), periods=(40.0, 120.0)),
        shake=draw_wander(rng, (jitter, jitter), periods=(4.0, 12.0)),
        reach=reach,
    )


@dataclass(frozen=True)
class Bending:
    """Smooth non-rigid motion: travelling waves, and a bend along the object."""

    directions: np.ndarray
    """(K, 2): wave vectors, radians per sheet half-width."""
    shifts: np.ndarray
    """(K, 2): amplitude of each wave, sheet half-widths."""
    rates: np.ndarray
    """(K,): radians per frame."""
    phases: np.ndarray
    curl: Wander
    """Of the bend: radians per half-width."""

    @property
    def reach(self) -> float:
        """Return an upper bound of how far the waves move a point, sheet half-widths."""
        return float(np.abs(self.shifts).sum())

    def look_up(self, x: np.ndarray, y: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Map positions on the bent object to the sheet at rest, float (h, w) each."""
        turn = self.curl.at(time)[0] * x
        cosine, sine = np.cos(turn), np.sin(turn)
        x, y = cosine * x - sine * y, sine * x + cosine * y
        moved_x, moved_y = x, y
        for direction, shift, rate, phase in zip(
            self.directions, self.shifts, self.rates, self.phases, strict=True
        ):
            wave = np.sin(direction[0] * x + direction[1] * y + rate * time + phase)
            moved_x = moved_x + shift[0] * wave
            moved_y = moved_y + shift[1] * wave
        return moved_x, moved_y


def draw_bending(rng: np.random.Generator, *, strength: float) -> Bending:
    """Draw how an object bends; ``strength`` 0 is rigid, 1 lively."""
    waves = 3
    angles = rng.uniform(0, 2 * np.pi, waves)
    lengths = rng.uniform(1.5, 4.5, waves)
    directions = lengths[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    # A wave whose slope stays below one cannot fold the sheet over itself.
    amplitudes = strength * rng.uniform(0.03, 0.2, waves) / lengths
    across = angles + np.pi / 2 + rng.normal(0, 0.4, waves)
    return Bending(
        directions=directions,
        shifts=amplitudes[:, None] * np.column_stack([np.cos(across), np.sin(across)]),
        rates=rng.choice([-1, 1], waves) * 2 * np.pi / rng.uniform(10.0, 36.0, waves),
        phases=rng.uniform(0, 2 * np.pi, waves),
        curl=draw_wander(rng, (0.25 * strength,), periods=(14.0, 50.0)),
    )
