"""How to segment: network, size, precision, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui

from scmn.demo.segmentation import BUNDLED, Settings

if TYPE_CHECKING:
    from scmn.demo.session import Server

PRECISIONS = {"cpu": ["fp32", "bf16", "auto"], "cuda": ["fp32", "tf32", "bf16", "fp16", "auto"]}
"""By type of device; others have float32 only."""


class SettingsPanel:
    """Choice of the settings of the next run."""

    def __init__(self, server: Server) -> None:
        with ui.expansion("Settings", icon="tune").classes("w-full").props("dense"):
            self._network = ui.select(server.networks.names, value=BUNDLED, label="network")
            self._network.classes("w-full")
            with ui.grid(columns=2).classes("w-full gap-2"):
                self._size = _number("shorter side", "pixels", value=Settings().size)
                precisions = PRECISIONS.get(server.device.split(":")[0], ["fp32"])
                self._precision = ui.select(precisions, value="fp32", label="precision")
                self._every = _number("memory interval", "frames")
                self._most = _number("memory size", "frames")

    @property
    def settings(self) -> Settings:
        """What is chosen; an empty field keeps the frames' size, or the network's memory policy."""
        memory: dict[str, Any] = {}
        if self._every.value is not None:
            memory["every"] = int(self._every.value)
        if self._most.value is not None:
            memory["max_frames"] = int(self._most.value)
        return Settings(
            network=self._network.value,
            size=None if self._size.value is None else int(self._size.value),
            precision=self._precision.value,
            memory=memory,
        )


def _number(label: str, unit: str, *, value: int | None = None) -> ui.number:
    field = ui.number(label, value=value, min=1, precision=0, suffix=unit)
    return field.props("clearable stack-label")
