"""The report page: complete, self-contained, safe with any name, useful without scores."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from scmn.errors import InputError
from scmn.evaluation.report import PICTURE_WIDTH, Picture, write_report
from scmn.evaluation.scores import DatasetScores, ObjectScores, SequenceScores

VOID_ELEMENTS = {"meta", "link", "img", "br"}
ODD_NAME = "<b>&\"dogs'"


class Page(HTMLParser):
    """Text and attributes of a page; fails on tags that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)
        if "tr" in self.open:
            self.rows[-1].append(data)

    def values(self, tag: str, attribute: str) -> list[str]:
        return [v for t, name, v in self.attributes if (t, name) == (tag, attribute)]


def object_scores(object_id: int, j: list[float], *, start: int = 1) -> ObjectScores:
    frames = tuple(f"{index:05d}" for index in range(start, start + len(j)))
    return ObjectScores(object_id, frames, np.array(j), np.array(j) / 2)


@pytest.fixture
def scores() -> DatasetScores:
    frames = tuple(f"{index:05d}" for index in range(1, 5))
    return DatasetScores(
        "youtube",
        (
            SequenceScores(
                ODD_NAME,
                frames,
                (
                    object_scores(1, [1.0, 0.8, 0.6, 0.4]),
                    object_scores(5, [0.75], start=4),
                    object_scores(9, [0.5, 0.0], start=3),
                ),
                ("object <7> is ignored",),
            ),
            SequenceScores("nothing", frames, (), ("no object to score",)),
        ),
    )


@pytest.fixture
def page(tmp_path: Path, scores: DatasetScores) -> Page:
    wide = np.zeros((200, 2 * PICTURE_WIDTH, 3), np.uint8)
    wide[..., 0] = 200
    Image.fromarray(wide[:, :300]).save(tmp_path / "frame.png")
    path = tmp_path / "report.html"
    write_report(
        path,
        title="SCMN on <davis>",
        facts={"device": "one GPU & more", "speed": "20.1 frames/s"},
        scores=scores,
        pictures=[Picture(ODD_NAME, wide), Picture("from a file", tmp_path / "frame.png")],
    )
    return Page(path)


def test_report_shows_scores_in_percent(page: Page, scores: DatasetScores) -> None:
    text = " ".join(page.text)
    assert "Protocol “youtube” · 2 sequences · 3 objects · 8 scored frames" in text
    assert f"{100 * scores.summary['J&F-Mean']:.1f}" in page.text
    head, *rows = page.rows
    assert head[:4] == ["Sequence", "Object", "Frames", "J&F"]
    assert rows[0] == [
        ODD_NAME, "1", "4", "52.5", "70.0", "75.0", "40.0", "35.0", "0.0", "20.0",
    ]  # fmt: skip
    assert rows[1][:5] == [ODD_NAME, "5", "1", "56.2", "75.0"]


def test_report_escapes_facts_and_notes(page: Page) -> None:
    for expected in ("one GPU & more", "20.1 frames/s", "SCMN on <davis>"):
        assert expected in page.text
    assert f"{ODD_NAME}: object <7> is ignored" in page.text
    assert "<b>&" not in page.source
    assert "<davis>" not in page.source


def test_report_loads_nothing_from_outside(page: Page) -> None:
    addresses = [
        value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action")
    ]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "default-src 'none'" in page.source
    assert not re.search(r"https?://|@import|url\(", page.source)


def test_report_embeds_jpegs_of_bounded_width(page: Page) -> None:
    assert page.values("img", "alt") == [ODD_NAME, "from a file"]
    images = []
    for address in page.values("img", "src"):
        kind, data = address.split(",")
        assert kind == "data:image/jpeg;base64"
        images.append(Image.open(io.BytesIO(base64.b64decode(data))))
    assert [image.size for image in images] == [(PICTURE_WIDTH, 100), (300, 200)]
    pixel = images[0].getpixel((10, 10))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 190
    assert pixel[1] < 10


def test_report_plots_every_object_where_it_counts(page: Page) -> None:
    plots = [ElementTree.fromstring(text) for text in re.findall(r"(?s)<svg.*?</svg>", page.source)]
    (plot,) = plots  # a sequence without objects has none
    lines = [
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in plot.iter("polyline")
    ]
    assert [len(line) for line in lines] == [4, 2]
    (dot,) = plot.iter("circle")
    # Objects that count from later on start further right; all end at the last frame.
    assert lines[0][0][0] < lines[1][0][0]
    assert lines[0][-1][0] == lines[1][-1][0] == float(dot.attrib["cx"])
    heights = [y for _, y in lines[0]]
    assert heights == sorted(heights)  # J falls, so y grows
    assert lines[0][1:3][0][1] - lines[0][0][1] == pytest.approx(0.2 * (132 - 28), abs=0.2)
    width, height = (float(number) for number in plot.attrib["viewBox"].split()[2:])
    assert all(0 <= x <= width and 0 <= y <= height for line in lines for x, y in line)
    assert "lowest 40.0 on frame 00004" in "".join(plot.itertext())


def test_report_without_scores(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, title="test-dev", facts={"device": "cpu"}, scores=None)
    page = Page(path)
    assert "Masks without scores" in page.text
    assert "cpu" in page.text
    assert not page.rows
    assert "<svg" not in page.source


def test_report_keeps_the_old_page_if_a_picture_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(InputError, match=r"absent\.jpg"):
        write_report(
            path, title="t", facts={}, scores=None, pictures=[Picture("c", tmp_path / "absent.jpg")]
        )
    assert path.read_text(encoding="utf-8") == "old"
