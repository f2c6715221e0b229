"""The memory of a video: its settings, which frames it keeps, and how they are stored."""
