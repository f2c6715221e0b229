"""Where the predicted label maps of a data set lie: ``<folder>/<sequence>/<frame>.png``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scmn.errors import InputError


def prediction_path(masks_folder: Path, sequence_name: str, frame_name: str) -> Path:
    """Return where the predicted label map of a frame is written and looked for."""
    return masks_folder / sequence_name / f"{frame_name}.png"


def require_predictions(paths: Iterable[Path]) -> None:
    """Raise InputError, naming the first and counting all, if any file is missing."""
    expected = list(paths)
    missing = [path for path in expected if not path.is_file()]
    if missing:
        raise InputError(
            f"predicted mask {missing[0]} does not exist; {len(missing)} of the {len(expected)} "
            "expected masks are missing"
        )
