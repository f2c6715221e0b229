"""Packages of the extras, which are imported only when they are needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from scmn.errors import InputError


def import_optional(module: str, *, need: str, extra: str) -> ModuleType:
    """Return a module of an optional package.

    Args:
        module: its name, such as "pycocotools.mask".
        need: what needs which package, such as "COCO's masks need pycocotools".
        extra: of this package, which installs the optional one.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"{need}, which is not installed; expected after: pip install 'scmn[{extra}]'"
        ) from error
