"""Ablations under one budget: what is run, how it is run, how the results are shown."""
