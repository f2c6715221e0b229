"""DAVIS 2016 and 2017 on disk, in the layout of either release.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016); Pont-Tuset et al., "The 2017 DAVIS Challenge on Video Object Segmentation".
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from scmn.data.images import list_images
from scmn.data.layout import match_annotations, require_folder, select_sequences
from scmn.data.sequences import VideoSequence
from scmn.errors import InputError

LAYOUT = (
    "DAVIS: JPEGImages/480p/<sequence>/00000.jpg, Annotations/480p/<sequence>/00000.png, "
    "ImageSets/<year>/<split>.txt"
)
_RESOLUTION = "480p"


def davis_sequences(
    root: Path, *, year: int, split: str, names: Collection[str] | None = None
) -> tuple[VideoSequence, ...]:
    """Return the sequences of ``split``, or only those in ``names``; the first label map is given.

    The 2017 tree has ``ImageSets/2016|2017/<split>.txt`` with one sequence name per line. The
    original tree of 2016 has ``ImageSets/480p/<split>.txt`` with one image path and mask path per
    line, and masks of 0 and 255. With ``year=2016`` all ids above 0 become object 1.

    Raises:
        InputError: the folder, the split, a sequence or a frame is missing.
    """
    require_folder(root, LAYOUT)
    list_file = root / "ImageSets" / str(year) / f"{split}.txt"
    pairs_file = root / "ImageSets" / _RESOLUTION / f"{split}.txt"
    if list_file.is_file():
        selected = select_sequences(_lines(list_file), names, list_file)
        return tuple(_from_folders(root, name, merge_objects=year == 2016) for name in selected)
    if year == 2016 and pairs_file.is_file():
        return _from_pairs(root, pairs_file, names)
    raise InputError(_no_split(root, list_file))


def _no_split(root: Path, list_file: Path) -> str:
    present = sorted(path.stem for path in list_file.parent.glob("*.txt"))
    if present:
        return f"{list_file} does not exist; available splits: {', '.join(present)}"
    return f"{list_file} does not exist; expected in {root} {LAYOUT}"


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a text file: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def _from_folders(root: Path, name: str, *, merge_objects: bool) -> VideoSequence:
    frames_folder = root / "JPEGImages" / _RESOLUTION / name
    annotations_folder = root / "Annotations" / _RESOLUTION / name
    require_folder(frames_folder, LAYOUT)
    require_folder(annotations_folder, LAYOUT)
    frames = list_images(frames_folder)
    annotations = match_annotations(frames, annotations_folder)
    return _sequence(name, frames, annotations, merge_objects=merge_objects)


def _from_pairs(
    root: Path, pairs_file: Path, names: Collection[str] | None
) -> tuple[VideoSequence, ...]:
    """Read lines like ``/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png``."""
    frames: dict[str, list[Path]] = {}
    annotations: dict[str, dict[int, Path]] = {}
    for line in _lines(pairs_file):
        image, *mask = (_inside(root, text, pairs_file) for text in line.split())
        name = image.parent.name
        if mask:
            annotations.setdefault(name, {})[len(frames.get(name, ()))] = mask[0]
        frames.setdefault(name, []).append(image)
    selected = select_sequences(frames, names, pairs_file)
    for name in selected:
        for path in (*frames[name], *annotations.get(name, {}).values()):
            if not path.is_file():
                raise InputError(f"{path}, listed in {pairs_file}, does not exist")
    return tuple(
        _sequence(name, tuple(frames[name]), annotations.get(name, {}), merge_objects=True)
        for name in selected
    )


def _inside(root: Path, text: str, pairs_file: Path) -> Path:
    """Return the path of ``/a/b``, whose leading slash stands for the data set's folder."""
    relative = Path(text.lstrip("/"))
    if relative.is_absolute() or ".." in relative.parts or len(relative.parts) < 2:
        raise InputError(
            f"{pairs_file}: '{text}' is not a path like /JPEGImages/480p/<sequence>/00000.jpg"
        )
    return root / relative


def _sequence(
    name: str, frames: tuple[Path, ...], annotations: dict[int, Path], *, merge_objects: bool
) -> VideoSequence:
    if 0 not in annotations:
        raise InputError(
            f"sequence '{name}' has no label map for its first frame {frames[0]}; expected {LAYOUT}"
        )
    return VideoSequence(
        name, frames, annotations, given_objects={0: None}, merge_objects=merge_objects
    )
