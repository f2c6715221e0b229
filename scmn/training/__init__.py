"""Training: losses, schedules, optimizers, checkpoints and the processes that share the work."""
