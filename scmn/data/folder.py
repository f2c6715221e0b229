"""The user's own data: a folder of frames with one or more masks, or a folder of such folders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from scmn.data.images import list_images
from scmn.data.layout import (
    check_sequence_name,
    match_annotations,
    require_folder,
    select_sequences,
    subfolders,
)
from scmn.data.masks import GreyValues, read_label_map, require_objects
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError


def folder_sequence(
    frames: Path,
    masks: Path | Iterable[Path],
    *,
    name: str | None = None,
    grey: GreyValues = "checked",
) -> VideoSequence:
    """Return the images in the folder ``frames`` as a sequence, named after the folder by default.

    Every object in every mask is given, so later masks may add or correct objects. For ``masks``
    and ``grey`` see ``place_masks``.

    Raises:
        InputError: a file is missing, a mask has no object, or a mask matches no frame.
    """
    images = list_images(frames)
    name = frames.resolve().name if name is None else name
    check_sequence_name(name, frames)
    placed = place_masks(masks, [path.stem for path in images], frames, grey=grey)
    return VideoSequence(name, images, placed, given_objects=dict.fromkeys(placed), grey=grey)


def place_masks(
    masks: Path | Iterable[Path],
    frame_names: Sequence[str],
    source: Path,
    *,
    grey: GreyValues = "checked",
) -> dict[int, Path]:
    """Return frame index -> mask; a mask belongs to the frame with the same stem.

    ``masks`` is a file, several files, or a folder of them. A single mask whose stem matches no
    frame belongs to the first one. ``source`` names the video in error messages. For ``grey`` see
    ``GreyValues``.

    Raises:
        InputError: a mask cannot be read, has no object or matches no frame, two masks match the
            same frame, or there is no mask.
    """
    paths = [masks] if isinstance(masks, Path) else list(masks)
    if len(paths) == 1 and paths[0].is_dir():
        paths = list(list_images(paths[0]))
    if not paths:
        raise InputError(f"no mask is given for {source}; expected at least one palette PNG")
    indices = {frame_name: index for index, frame_name in enumerate(frame_names)}
    placed: dict[int, Path] = {}
    for path in paths:
        require_objects(read_label_map(path, grey=grey), path)
        index = 0 if len(paths) == 1 else None
        index = indices.get(path.stem, index)
        if index is None:
            raise InputError(
                f"mask {path} matches no frame of {source}; with several masks, each must be "
                f"named after its frame, such as {frame_names[0]}.png"
            )
        if index in placed:
            raise InputError(f"masks {placed[index]} and {path} are for the same frame")
        placed[index] = path
    return dict(sorted(placed.items()))


def folder_sequences(
    frames_root: Path,
    masks_root: Path,
    *,
    names: Collection[str] | None = None,
    grey: GreyValues = "checked",
) -> tuple[VideoSequence, ...]:
    """Return a sequence for each folder in ``frames_root``, or only for those in ``names``.

    The masks of ``frames_root/<sequence>`` are in ``masks_root/<sequence>``, each named after its
    frame; all of their objects are given. For ``grey`` see ``GreyValues``.

    Raises:
        InputError: a folder is missing or a mask has no frame.
    """
    expected = f"{frames_root}/<sequence>/00000.jpg and {masks_root}/<sequence>/00000.png"
    require_folder(frames_root, expected)
    sequences = []
    for name in select_sequences(subfolders(frames_root), names, frames_root):
        require_folder(masks_root / name, expected)
        images = list_images(frames_root / name)
        placed = match_annotations(images, masks_root / name)
        given = dict.fromkeys(placed)
        sequences.append(VideoSequence(name, images, placed, given_objects=given, grey=grey))
    return tuple(sequences)
