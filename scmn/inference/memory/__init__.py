"""The memory of a video: its settings, its policy, its storage."""
