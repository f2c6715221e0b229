"""What the masks of a sequence depend on, as one line: has anything changed since the last run?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scmn.data.sequences import FrameSource, VideoSequence
from scmn.data.video import VideoFile
from scmn.errors import InputError


def fingerprint(source: FrameSource) -> str:
    """Return a digest of a sequence's frames, given masks and written frames.

    Frames and videos count by path, size and time of change, given masks by their content. Where
    the given objects would have to be looked for in all annotations, those count like frames.

    Raises InputError if a file cannot be read, TypeError if ``source`` is of an unknown kind.
    """
    try:
        content = _content(source)
    except OSError as error:
        raise InputError(f"sequence '{source.name}': {error.filename} cannot be read") from error
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _content(source: FrameSource) -> dict[str, Any]:
    if isinstance(source, VideoFile):
        masks = [[index, _digest(path)] for index, path in sorted(source.mask_paths.items())]
        return {"frames": _stamps([source.path]), "masks": masks}
    if isinstance(source, VideoSequence):
        return {
            "frames": _stamps(source.image_paths),
            "masks": _given_masks(source),
            "merge": source.merge_objects,
            "written": [name for name in source.frame_names if source.is_written(name)],
        }
    raise TypeError(f"no fingerprint for a {type(source).__name__}")


def _given_masks(sequence: VideoSequence) -> list[Any]:
    given = sequence.given_objects
    if not isinstance(given, dict):  # found by reading every annotation
        paths = [path for _, path in sorted(sequence.annotation_paths.items())]
        return [sorted(sequence.annotation_paths), _stamps(paths)]
    return [
        [index, _digest(sequence.annotation_paths[index]), objects]
        for index, objects in sorted(given.items())
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamps(paths: Iterable[Path]) -> list[Any]:
    """Return path, size and time of change of files, whose folders are resolved once each."""
    folders: dict[Path, str] = {}
    stamps = []
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = str(path.parent.resolve())
        status = path.stat()
        stamps.append([folders[path.parent], path.name, status.st_size, status.st_mtime_ns])
    return stamps
