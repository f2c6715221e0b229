"""The report of an evaluation: one HTML page with scores, plots and pictures, nothing outside it.

All scores on the page are in percent, as papers give them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from scmn.data.atomic import atomic_path
from scmn.data.images import read_image
from scmn.evaluation.report_page import PAGE, SCRIPT, STYLE
from scmn.evaluation.report_plots import frame_plot
from scmn.evaluation.scores import DatasetScores, ObjectScores, SequenceScores

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
    """uint8 (H, W, 3) RGB, or an image file; wide ones are shown ``PICTURE_WIDTH`` wide."""


def write_report(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    scores: DatasetScores | None,
    pictures: Sequence[Picture] = (),
) -> None:
    """Write the page to ``path``.

    ``facts`` are shown as given: device, precision, speed with its definition, peak memory.
    Without ``scores`` (a data set whose ground truth is not public) it has facts and pictures.

    Raises InputError if a picture cannot be read or the page not written.
    """
    sections = [_headline(scores), _facts(facts)]
    if scores is not None:
        sections.append(_notes(scores.notes))
    sections.append(_pictures(pictures))
    if scores is not None:
        sections += [_table(scores), _plots(scores.sequences)]
    page = PAGE.substitute(
        title=escape(title),
        subtitle=escape(_subtitle(scores)),
        style=STYLE,
        script=SCRIPT,
        content="\n".join(section for section in sections if section),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


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


def _section(heading: str, content: str, *, hint: str = "") -> str:
    small = f'<p class="hint">{hint}</p>' if hint else ""
    return f"<section><h2>{heading}</h2>{small}{content}</section>"


def _headline(scores: DatasetScores | None) -> str:
    if scores is None:
        return (
            '<p class="empty">No scores: the masks were written, but there is no ground truth here '
            "to compare them with.</p>"
        )
    summary = scores.summary
    cards = [_card("J&F", summary["J&F-Mean"], "mean of J and F", kind="card main")]
    for letter, meaning in (("J", "region similarity"), ("F", "contour accuracy")):
        recall, decay = summary[f"{letter}-Recall"], summary[f"{letter}-Decay"]
        detail = f"{meaning}<br>recall {_percent(recall)} · decay {_percent(decay)}"
        cards.append(_card(letter, summary[f"{letter}-Mean"], detail, kind="card"))
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(name: str, value: float, detail: str, *, kind: str) -> str:
    return (
        f'<div class="{kind}"><div class="label">{escape(name)}</div>'
        f'<div class="value">{_percent(value)}</div><div class="detail">{detail}</div></div>'
    )


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    return _section("Run", f'<dl class="facts">{rows}</dl>')


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return _section("Notes", f'<ul class="notes">{items}</ul>') if items else ""


def _pictures(pictures: Iterable[Picture]) -> str:
    figures = "".join(
        f'<figure><img src="{_data_url(picture.image)}" alt="{escape(picture.caption)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in pictures
    )
    return _section("Pictures", f'<div class="pictures">{figures}</div>') if figures else ""


def _data_url(source: np.ndarray | Path) -> str:
    image = Image.fromarray(read_image(source) if isinstance(source, Path) else source)
    if image.width > PICTURE_WIDTH:
        height = max(1, round(image.height * PICTURE_WIDTH / image.width))
        image = image.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _table(scores: DatasetScores) -> str:
    head = "".join(
        f'<th scope="col" title="{escape(meaning)}"><button>{escape(name)}</button></th>'
        for name, meaning in _COLUMNS
    )
    rows = "".join(
        _row(sequence.name, scored) for sequence in scores.sequences for scored in sequence.objects
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _section(
        "Scores by object",
        f'<div class="scroll">{table}</div>',
        hint="In percent. Choose a column to sort by it.",
    )


def _row(name: str, scored: ObjectScores) -> str:
    both = (scored.j.mean + scored.f.mean) / 2
    values = (
        scored.j.mean, scored.j.recall, scored.j.decay,
        scored.f.mean, scored.f.recall, scored.f.decay,
    )  # fmt: skip
    cells = "".join(f"<td>{_percent(value)}</td>" for value in values)
    return (
        f'<tr><th scope="row">{escape(name)}</th><td>{scored.object_id}</td>'
        f"<td>{len(scored.frames)}</td>"
        f'<td class="bar" style="--share:{100 * both:.1f}%">{_percent(both)}</td>{cells}</tr>'
    )


def _plots(sequences: Iterable[SequenceScores]) -> str:
    plots = "".join(
        f'<figure class="plot"><figcaption>{escape(sequence.name)}</figcaption>'
        f"{frame_plot(sequence)}</figure>"
        for sequence in sequences
        if sequence.objects
    )
    return _section(
        "J by frame", f'<div class="plots">{plots}</div>', hint="One line per object, 0 to 100."
    )


def _percent(value: float) -> str:
    # Adding 0 turns a rounded -0.0 into 0.0.
    return f"{round(100 * value, 1) + 0:.1f}"
