"""Ablations under one budget: plan, runs, report."""
