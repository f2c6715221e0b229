"""Acceleration of trained networks: the same numbers in less time and memory."""
