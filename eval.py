#!/usr/bin/env python
"""Segment videos and score the masks; see ``python eval.py --help``."""

from scmn.cli import eval_main

if __name__ == "__main__":
    eval_main()
