"""Acceleration of trained networks: the same up to rounding, in less time and memory."""
