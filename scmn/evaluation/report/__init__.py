"""The report of an evaluation: one self-contained HTML page with scores, plots and pictures.

``page.html`` is the template. All scores on the page are in percent, as in papers.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from scmn.data.atomic import BeforeRename, atomic_path
from scmn.data.images import read_image
from scmn.evaluation.report.plots import frame_plot
from scmn.evaluation.scores import DatasetScores

PICTURE_WIDTH = 640
_JPEG_QUALITY = 82
_COLUMNS = (
    ("Sequence", "name of the sequence"),
    ("Object", "object id in the masks"),
    ("Frames", "frames on which the object counts"),
    ("J&F", "mean of J and F"),
    ("J mean", "region similarity"),
    ("J recall", "share of frames with J above 50"),
    ("J decay", "first quarter of the frames minus last, lower is better"),
    ("F mean", "contour accuracy"),
    ("F recall", "share of frames with F above 50"),
    ("F decay", "first quarter of the frames minus last, lower is better"),
)


@dataclass(frozen=True)
class Picture:
    """An image with a caption, such as a frame under its predicted masks."""

    caption: str
    image: np.ndarray | Path
    """uint8 (H, W, 3) RGB, or an image file; scaled down to ``PICTURE_WIDTH`` if it is wider."""

    @property
    def address(self) -> str:
        """The image as a JPEG in a ``data:`` URL."""
        source = read_image(self.image) if isinstance(self.image, Path) else self.image
        image = Image.fromarray(source)
        if image.width > PICTURE_WIDTH:
            height = max(1, round(image.height * PICTURE_WIDTH / image.width))
            image = image.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def write_report(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    scores: DatasetScores | None,
    pictures: Sequence[Picture] = (),
    before_rename: BeforeRename | None = None,
) -> None:
    """Write the page to ``path``.

    ``facts`` are shown as given: device, precision, speed with its definition, peak memory.
    Without ``scores`` (the ground truth is not public) the page has facts and pictures only. For
    ``before_rename`` see ``atomic_path``.

    Raises:
        InputError: a picture cannot be read or the page cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["percent"] = _percent
    scored = [] if scores is None else [s for s in scores.sequences if s.objects]
    page = environment.get_template("page.html").render(
        title=title,
        subtitle=_subtitle(scores),
        facts=facts,
        scores=scores,
        pictures=pictures,
        columns=_COLUMNS,
        plots=[frame_plot(sequence) for sequence in scored],
    )
    with atomic_path(path, before_rename=before_rename) as temporary:
        # Names of files need not be text.
        temporary.write_text(page + "\n", encoding="utf-8", errors="backslashreplace")


def _subtitle(scores: DatasetScores | None) -> str:
    if scores is None:
        return "Masks without scores"
    frames = sum(len(sequence.frames) for sequence in scores.sequences)
    counts = (
        (sum(1 for sequence in scores.sequences if sequence.frames), "sequence"),
        (len(scores.objects), "object"),
        (frames, "scored frame"),
    )
    listed = (f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    return " · ".join((f"Protocol “{scores.protocol}”", *listed))


def _percent(value: float) -> str:
    # Adding 0 turns a rounded -0.0 into 0.0.
    return f"{round(100 * value, 1) + 0:.1f}"
