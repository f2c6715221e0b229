"""Files of a segmenter's memory, to pause a video or to take its objects to another one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scmn.errors import InputError
from scmn.tensor_files import read_tensors, write_tensors

FORMAT = "scmn-memory"


def write_memory(
    path: Path,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    origin: Mapping[str, Any],
) -> None:
    """Write what a segmenter remembers.

    Args:
        path: the file.
        tensors: the remembered tensors by name.
        state: the rest, JSON values by name.
        origin: what the memory depends on, JSON values by name: the network, its weights and the
            settings.

    Raises:
        InputError: the file cannot be written.
    """
    metadata = {
        "format": FORMAT,
        "state": json.dumps(dict(state)),
        "origin": json.dumps(dict(origin)),
    }
    write_tensors(path, tensors, metadata)


def read_memory(
    path: Path, *, origin: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the state that :func:`write_memory` wrote.

    Raises:
        InputError: the file is missing, damaged or of another kind, or its origin is another one;
            what differs is named.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is not a saved memory: write one with save_memory")
    saved, own = json.loads(metadata["origin"]), json.loads(json.dumps(dict(origin)))
    differences = [
        f"{name} {saved.get(name)!r}, here {own.get(name)!r}"
        for name in {**saved, **own}
        if saved.get(name) != own.get(name)
    ]
    if differences:
        raise InputError(f"{path} does not fit this segmenter: saved with {'; '.join(differences)}")
    return tensors, json.loads(metadata["state"])
