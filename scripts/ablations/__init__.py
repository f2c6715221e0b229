"""Ablations with one budget: the plan, the runs and the report."""
