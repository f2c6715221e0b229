"""Shared by the layouts of data sets: sequence names, splits, label maps matched to frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath

from scmn.data.images import list_images
from scmn.data.masks import object_ids, read_label_map
from scmn.errors import InputError, nearest_name


def check_sequence_name(name: str, source: Path) -> None:
    """Raise InputError unless ``name``, found in ``source``, is the name of one folder.

    Results are written to ``<output>/<name>/``: a name that is absolute, contains a separator or a
    drive, or is ``..`` would escape the output folder.
    """
    # The rules of Windows cover both separators and drives.
    if name in ("", ".", "..") or PureWindowsPath(name).name != name or "\0" in name:
        raise InputError(
            f"{source}: the sequence name '{name}' is not the name of a folder; "
            "expected a plain name without '/', '\\' or '..'"
        )


def select_sequences(
    names: Iterable[str], wanted: Collection[str] | None, source: Path
) -> tuple[str, ...]:
    """Return the sequence ``names`` that ``source`` lists, or only those ``wanted``, in its order.

    Raises:
        InputError: none is listed, one would escape the output folder, or a wanted one is not
            listed.
    """
    listed = tuple(dict.fromkeys(names))
    if not listed:
        raise InputError(f"{source} lists no sequences")
    for name in listed:
        check_sequence_name(name, source)
    if wanted is None:
        return listed
    for name in wanted:
        if name not in listed:
            raise InputError(f"{source} has no sequence '{name}'{nearest_name(name, listed)}")
    return tuple(name for name in listed if name in wanted)


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in ``folder`` that are not hidden, sorted."""
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def require_folder(folder: Path, expected: str) -> None:
    """Raise InputError, showing the ``expected`` layout, unless ``folder`` exists."""
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; expected {expected}")


def split_folder(root: Path, split: str, expected: str) -> Path:
    """Return ``root/split``; InputError if it, its images or its annotations are missing.

    ``expected`` is the layout of the split ``valid``.
    """
    folder = root / split
    if not folder.is_dir() and (root / "JPEGImages").is_dir():
        raise InputError(
            f"folder {root} contains JPEGImages/ but not {split}/: it is itself a split; "
            f"give the folder that contains {split}/"
        )
    for part in (folder, folder / "JPEGImages", folder / "Annotations"):
        require_folder(part, expected.replace("valid", split))
    return folder


def match_annotations(frames: Sequence[Path], folder: Path) -> dict[int, Path]:
    """Return frame index -> label map in ``folder`` with the same stem as the frame.

    Raises:
        InputError: the folder is missing or empty, or a label map has no frame.
    """
    indices = {path.stem: index for index, path in enumerate(frames)}
    matched = {}
    for path in list_images(folder):
        if path.stem not in indices:
            raise InputError(
                f"mask {path} has no frame; expected an image with the stem '{path.stem}' "
                f"in {frames[0].parent}"
            )
        matched[indices[path.stem]] = path
    return dict(sorted(matched.items()))


class FirstAppearances(Mapping[int, tuple[int, ...]]):
    """Frame index -> ids of the objects that appear on that frame for the first time.

    Label maps are read in time order and only as far as needed, as a fully annotated data set has
    tens of thousands. Frames without a new object are not in the mapping.
    """

    def __init__(self, annotation_paths: Mapping[int, Path]) -> None:
        self._unread = sorted(annotation_paths.items(), reverse=True)
        self._seen: set[int] = set()
        self._new: dict[int, tuple[int, ...]] = {}

    def _read_through(self, index: int | None) -> None:
        while self._unread and (index is None or self._unread[-1][0] <= index):
            frame, path = self._unread[-1]
            ids = object_ids(read_label_map(path))
            new = tuple(object_id for object_id in ids if object_id not in self._seen)
            self._unread.pop()
            self._seen.update(ids)
            if new:
                self._new[frame] = new

    def __getitem__(self, index: int) -> tuple[int, ...]:
        self._read_through(index)
        return self._new[index]

    def __contains__(self, index: object) -> bool:
        if isinstance(index, int):
            self._read_through(index)
        return index in self._new

    def __iter__(self) -> Iterator[int]:
        self._read_through(None)
        return iter(self._new)

    def __len__(self) -> int:
        self._read_through(None)
        return len(self._new)
