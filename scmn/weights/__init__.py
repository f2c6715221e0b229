"""Weights: our files, the published ones, pretrained backbones, and what is released with us."""
