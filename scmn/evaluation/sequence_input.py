"""What a sequence is segmented from: its frames and given masks, and whether they are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scmn.data.sequences import FrameSource, VideoSequence
from scmn.data.video import VideoFile
from scmn.errors import InputError


@dataclass(frozen=True)
class GivenMask:
    """A mask file; two are the same if their content is."""

    path: str
    """Absolute, without symbolic links."""
    sha256: str


@dataclass(frozen=True)
class SequenceInput:
    """Frames and given masks of a sequence."""

    frames: str
    """The video file or the folder of frames, absolute, without symbolic links."""
    masks: Mapping[str, GivenMask]
    """Frame index -> mask; empty where finding the given ones means reading all annotations."""
    fingerprint: str
    """Digest of everything: of frames by path, size and modification time, of given masks by their
    content, of which objects are given and which frames written. Where the given masks are not
    known, all annotations enter like frames."""

    @staticmethod
    def of(source: FrameSource) -> SequenceInput:
        """Look at the files of a sequence.

        Raises:
            InputError: one cannot be read.
            TypeError: ``source`` is of an unknown kind.
        """
        try:
            if isinstance(source, VideoFile):
                return _of_video(source)
            if isinstance(source, VideoSequence):
                return _of_images(source)
        except OSError as error:
            raise InputError(
                f"sequence '{source.name}': {error.filename} cannot be read"
            ) from error
        raise TypeError(f"no fingerprint for a {type(source).__name__}")

    def identity(self) -> dict[str, Any]:
        """Return where frames and masks come from, as JSON values."""
        return {"frames": self.frames, "masks": {i: asdict(m) for i, m in self.masks.items()}}

    def difference(self, earlier: Mapping[str, Any]) -> str | None:
        """Name what an earlier input was and what this one is, or return None if they are the same.

        ``earlier`` is the other one's ``identity``. Frames of the same path are the same here.
        """
        if earlier["frames"] != self.frames:
            return f"{earlier['frames']}, not from {self.frames}"
        old = {index: GivenMask(**mask) for index, mask in earlier["masks"].items()}
        for index in {**old, **self.masks}:
            before, now = old.get(index), self.masks.get(index)
            if before is None or now is None or before.sha256 != now.sha256:
                return f"{_named(before)} on frame {index}, not from {_named(now)}"
        return None


def input_files(source: FrameSource) -> tuple[Path, ...]:
    """Return the files that a sequence is read from; TypeError if it is of an unknown kind."""
    if isinstance(source, VideoFile):
        return (source.path, *source.mask_paths.values())
    if isinstance(source, VideoSequence):
        return (*source.image_paths, *source.annotation_paths.values())
    raise TypeError(f"no files of a {type(source).__name__}")


def _named(mask: GivenMask | None) -> str:
    return "no mask" if mask is None else f"mask {mask.path} (SHA-256 {mask.sha256[:12]})"


def _of_video(video: VideoFile) -> SequenceInput:
    masks = _given_masks(video.mask_paths)
    content = {"frames": _stamps([video.path]), "masks": _digests(masks)}
    return SequenceInput(str(video.path.resolve()), masks, _digest(content))


def _of_images(sequence: VideoSequence) -> SequenceInput:
    given = sequence.given_objects
    content: dict[str, Any] = {
        "frames": _stamps(sequence.image_paths),
        "merge": sequence.merge_objects,
        "written": [name for name in sequence.frame_names if sequence.is_written(name)],
    }
    masks: dict[str, GivenMask] = {}
    if isinstance(given, dict):
        masks = _given_masks({index: sequence.annotation_paths[index] for index in given})
        content["masks"] = _digests(masks)
        content["objects"] = sorted(given.items())
    else:  # found by reading every annotation
        annotations = sorted(sequence.annotation_paths.items())
        content["annotations"] = [index for index, _ in annotations]
        content["masks"] = _stamps(path for _, path in annotations)
    return SequenceInput(str(sequence.image_paths[0].parent.resolve()), masks, _digest(content))


def _given_masks(paths: Mapping[int, Path]) -> dict[str, GivenMask]:
    return {
        str(index): GivenMask(str(path.resolve()), hashlib.sha256(path.read_bytes()).hexdigest())
        for index, path in sorted(paths.items())
    }


def _digests(masks: Mapping[str, GivenMask]) -> list[Any]:
    return [[index, mask.sha256] for index, mask in masks.items()]


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _stamps(paths: Iterable[Path]) -> list[Any]:
    """Return path, size and modification time of files; each folder is resolved once."""
    folders: dict[Path, str] = {}
    stamps = []
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = str(path.parent.resolve())
        status = path.stat()
        stamps.append([folders[path.parent], path.name, status.st_size, status.st_mtime_ns])
    return stamps
