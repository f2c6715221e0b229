"""Adds the configurations to the package; everything else is in pyproject.toml."""

from __future__ import annotations

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["scmn", "scmn.*"]), "scmn.configs"],
    package_dir={"scmn.configs": "configs"},
)
