"""The chart below the picture: each object's area and confidence over the frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from scmn.demo.project import Project

_PERCENT = 100
_FRAMES = "frames"
_GIVEN, _NOTHING = "rgba(80,120,220,0.25)", "rgba(0,0,0,0)"


class Timeline:
    """Area (solid) and confidence (dashed) of each object; a click anywhere jumps to a frame."""

    def __init__(self, on_frame: Callable[[int], None]) -> None:
        self._on_frame = on_frame
        self._drawn: object = None
        self._chart = ui.echart(_options(), on_point_click=self._clicked)
        self._chart.classes("w-full h-52")

    def _clicked(self, event: EChartPointClickEventArguments) -> None:
        self._on_frame(event.data_index)

    def show(self, project: Project, frame: int) -> None:
        """Draw the project's masks, with a mark at ``frame``."""
        series = self._chart.options["series"]
        drawn = project, project.objects, project.masks
        if drawn != self._drawn:
            self._drawn = drawn
            self._chart.options["xAxis"]["data"] = list(range(len(project.footage)))
            series[:] = [_frames(project), *_curves(project)]
            series[0]["markLine"] = _mark(frame)
            self._chart.update()
        else:  # the curves of a long video are too much to send for each frame that is shown
            series[0]["markLine"] = _mark(frame)
            change = {"series": [{"id": _FRAMES, "markLine": _mark(frame)}]}
            self._chart.run_chart_method("setOption", change)


def _options() -> dict[str, Any]:
    axis = {"type": "value", "min": 0, "splitNumber": 2}
    return {
        "animation": False,
        "grid": {"left": 55, "right": 55, "top": 25, "bottom": 25},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "category", "data": []},
        "yAxis": [{**axis, "name": "area %"}, {**axis, "name": "confidence", "max": 1}],
        "series": [],
    }


def _frames(project: Project) -> dict[str, Any]:
    """Return bars as high as the chart, which take its clicks and show where the user drew."""
    given = set(project.given_frames)
    return {
        "type": "bar",
        "id": _FRAMES,
        "yAxisIndex": 1,
        "barWidth": "100%",
        "tooltip": {"show": False},
        "data": [
            {"value": 1, "itemStyle": {"color": _GIVEN if index in given else _NOTHING}}
            for index in range(len(project.footage))
        ],
    }


def _mark(frame: int) -> dict[str, Any]:
    return {
        "silent": True,
        "symbol": "none",
        "animation": False,
        "label": {"show": False},
        "lineStyle": {"color": "#333", "width": 2, "type": "solid"},
        "data": [{"xAxis": frame}],
    }


def _curves(project: Project) -> list[dict[str, Any]]:
    curves = []
    for object_id, drawn in project.objects.items():
        line = {
            "type": "line",
            "showSymbol": False,
            "silent": True,
            "itemStyle": {"color": drawn.hexadecimal},
        }
        areas: list[float | None] = []
        confidence: list[float | None] = []
        for index in range(len(project.footage)):
            masks = project.masks.get(index)
            area = None if masks is None else masks.areas.get(object_id, 0) * _PERCENT
            areas.append(None if area is None else round(area, 3))
            sure = None if masks is None else masks.confidence.get(object_id)
            confidence.append(None if sure is None else round(sure, 3))
        curves.append({**line, "name": f"{drawn.name}: area %", "data": areas})
        curves.append(
            {
                **line,
                "name": f"{drawn.name}: confidence",
                "yAxisIndex": 1,
                "lineStyle": {"type": "dashed", "width": 1},
                "data": confidence,
            }
        )
    return curves
