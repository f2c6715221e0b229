"""An exported network: the folder that ``scripts/export_onnx.py`` wrote, run by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from scmn.deployment.memory import POLICY_SETTINGS
from scmn.errors import InputError, in_one_line

GRAPHS = ("encode_query", "encode_memory", "segment")
SETTINGS = {"memory", "padding_colour", "remembers_padding", "top_k"}
"""What the segmenter reads from ``settings.json``."""


class ExportedNetwork:
    """The three graphs of a network, and what else a segmenter must know about it."""

    def __init__(self, folder: Path, *, providers: Sequence[str], threads: int | None) -> None:
        """
        Args:
            folder: of the graphs and their ``settings.json``.
            providers: of ONNX Runtime, the preferred one first.
            threads: of the CPU (None: one per core).

        Raises:
            InputError: a file is missing, not readable, or of another version of this package.
        """
        try:
            settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads or 0
            self._sessions = {
                name: onnxruntime.InferenceSession(
                    str(folder / f"{name}.onnx"), options, providers=list(providers)
                )
                for name in GRAPHS
            }
        except Exception as error:  # ONNX Runtime has a class of its own for every failure
            raise InputError(
                f"{folder} holds no exported network that can be loaded "
                f"({in_one_line(error)}); expected the files of scripts/export_onnx.py"
            ) from error
        _check_settings(settings, folder)
        self.memory: Mapping[str, Any] = settings["memory"]
        """The policy with which it was exported."""
        self.padding_colour = np.array(settings["padding_colour"], np.float32)[:, None, None]
        """RGB in [0, 1], (3, 1, 1)."""
        self.remembers_padding: bool = settings["remembers_padding"]
        self.top_k: int | None = settings["top_k"]
        """The read takes this many positions (None: all)."""

    def call(self, graph: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run one of the graphs and return its outputs by name.

        Names and shapes are those of ``scmn.deployment.export``; inputs that the graph does not
        take are ignored.
        """
        session = self._sessions[graph]
        taken = {entry.name: inputs[entry.name] for entry in session.get_inputs()}
        names = [entry.name for entry in session.get_outputs()]
        return dict(zip(names, session.run(names, taken), strict=True))


def _check_settings(settings: Any, folder: Path) -> None:
    complete = isinstance(settings, dict) and settings.keys() >= SETTINGS
    if not complete or set(settings["memory"] or ()) != set(POLICY_SETTINGS):
        raise InputError(
            f"{folder / 'settings.json'} is of another version of scmn, with other settings; "
            "export the network again with scripts/export_onnx.py"
        )
