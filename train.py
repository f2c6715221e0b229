#!/usr/bin/env python
"""Train a network; see ``python train.py --help``."""

from scmn.cli import train_main

if __name__ == "__main__":
    train_main()
