"""Weights: this package's files, published ones, pretrained backbones, and the bundled weights."""
