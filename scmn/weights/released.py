"""Trained weights that come with the package."""

from __future__ import annotations

from pathlib import Path

from scmn.errors import InputError

DEFAULT_WEIGHTS = "default"
"""What users give in place of a file."""
DEFAULT_MODEL = "scmn_small"
"""The model that segments where the user names none."""


def find_weights(weights: str | Path, model: str) -> Path:
    """Return the file of weights that a user means.

    Args:
        weights: a file, or "default": the weights of ``model`` that come with the package.
        model: name of the model.

    Raises:
        InputError: no weights of this model come with the package.
    """
    if str(weights) != DEFAULT_WEIGHTS:
        return Path(weights)
    path = Path(__file__).parent / f"{model}.safetensors"
    if not path.is_file():
        released = ", ".join(sorted(file.stem for file in path.parent.glob("*.safetensors")))
        raise InputError(
            f"no weights of '{model}' come with the package, only of {released}: give a file"
        )
    return path
