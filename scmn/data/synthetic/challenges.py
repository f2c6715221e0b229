"""Which difficulties a sequence has, measured on its label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scmn.data.synthetic.composition import Composition
from scmn.data.synthetic.scene import Scene, unit_length

_MEASURED_HEIGHT = 60  # pixels
_OCCLUDED = 0.3  # hidden share of an object
_SPECK = 6  # an object of so few pixels of the small map is too small to measure
_FAST = 20 / 480  # units per frame, on average, as DAVIS defines it: 20 pixels at 480p
_GROWTH = 2.0  # ratio of areas
_PANNED = 0.1  # units
_ZOOMED = 1.1
_BRIGHTENED = 1.25
_DEFORMED = 0.5  # strength setting


def find_challenges(composition: Composition) -> tuple[str, ...]:
    """Return the names of the sequence's difficulties, sorted.

    look-alike, camouflage, deformation, occlusion (an object is hidden by 30 % or more),
    out-of-view (an object leaves and is not in view in some later frame), late-object,
    fast-motion, scale-change, camera-motion, illumination-change.
    """
    scene = composition.scene
    objects = [member for member in composition.cast if member.role == "object"]
    areas = _areas(scene, [member.object_id for member in objects])
    found = {
        "look-alike": any(member.look_alike_of is not None for member in composition.cast),
        "camouflage": any(member.family.camouflaged for member in objects),
        "late-object": any(member.late for member in objects),
        "deformation": scene.settings.deformation >= _DEFORMED
        and any(member.bending.reach > 0 for member in objects),
        "occlusion": any(_is_occluded(*pair) for pair in areas.values()),
        "out-of-view": any(_goes_out(in_frame) for _, in_frame in areas.values()),
        "fast-motion": any(_is_fast(scene, member.object_id) for member in objects),
        "scale-change": any(_grows(scene, member.object_id) for member in objects),
        "camera-motion": _camera_moves(scene),
        "illumination-change": _spread(scene, lambda t: float(scene.brightness.at(t)[0]))
        >= np.log(_BRIGHTENED),
    }
    return tuple(sorted(name for name, present in found.items() if present))


def _areas(scene: Scene, ids: list[int]) -> Mapping[int, tuple[np.ndarray, np.ndarray]]:
    """Return by object the pixels that are visible and that are in the frame, each (frames,)."""
    height, width = scene.settings.size
    scale = min(1.0, _MEASURED_HEIGHT / height)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    frames = scene.settings.frames
    visible, in_frame = np.zeros((2, 256, frames), dtype=np.int64)
    for time in range(frames):
        labels = np.zeros(size, np.uint8)
        for thing, footprint in scene.footprints(time, size):
            support = footprint.support
            labels[footprint.rows, footprint.columns][support] = thing.object_id
            in_frame[thing.object_id, time] = np.count_nonzero(support)
        visible[:, time] = np.bincount(labels.ravel(), minlength=256)
    return {k: (visible[k], in_frame[k]) for k in ids}


def _is_occluded(visible: np.ndarray, in_frame: np.ndarray) -> bool:
    measured = in_frame >= _SPECK
    return bool((visible[measured] < (1 - _OCCLUDED) * in_frame[measured]).any())


def _goes_out(in_frame: np.ndarray) -> bool:
    seen = np.flatnonzero(in_frame >= _SPECK)
    return bool(len(seen) and (in_frame[seen[0] :] == 0).any())


def _is_fast(scene: Scene, object_id: int) -> bool:
    path = next(thing.path for thing in scene.things if thing.object_id == object_id)
    places = np.stack(
        [
            (scene.camera.view(time) @ [*path.place(time), 1.0])[:2]
            for time in range(scene.settings.frames)
        ]
    )
    half = np.array(scene.settings.size[::-1]) / (2 * unit_length(scene.settings.size))
    in_frame = (np.abs(places) < half).all(axis=1)
    steps = np.hypot(*np.diff(places, axis=0).T)
    seen = steps[in_frame[1:] & in_frame[:-1]]
    return bool(seen.size and seen.mean() > _FAST)


def _grows(scene: Scene, object_id: int) -> bool:
    path = next(thing.path for thing in scene.things if thing.object_id == object_id)

    def log_area(time: float) -> float:
        return 2 * float(path.wander.at(time)[3] + scene.camera.lens.at(time)[1])

    return _spread(scene, log_area) >= np.log(_GROWTH)


def _camera_moves(scene: Scene) -> bool:
    camera = scene.camera
    panned = _spread(scene, lambda t: float(np.abs(camera.panned(t)).max()))
    zoomed = _spread(scene, lambda t: float(camera.lens.at(t)[1]))
    return panned >= _PANNED or zoomed >= np.log(_ZOOMED)


def _spread(scene: Scene, quantity: Callable[[float], float]) -> float:
    values = [quantity(time) for time in range(scene.settings.frames)]
    return max(values) - min(values)
