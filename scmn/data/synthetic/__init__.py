"""Procedural video sequences with exact label maps.

sequence = SyntheticSequence(SyntheticSettings(), seed=0, number=3)
image, labels = sequence.frame(17)
"""

from __future__ import annotations

from scmn.data.synthetic.sequence import SyntheticSequence
from scmn.data.synthetic.synthetic_settings import SyntheticSettings
from scmn.data.synthetic.writer import write_davis

__all__ = ["SyntheticSequence", "SyntheticSettings", "write_davis"]
