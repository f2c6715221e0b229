"""Segmentation of one video: memory, segmenters, acceleration of trained networks."""
