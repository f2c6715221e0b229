"""Streaming inference: memory, segmenter, test-time augmentation."""
