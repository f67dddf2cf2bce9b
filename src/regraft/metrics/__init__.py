"""Predictions and labels -> figures, their intervals, and what they mean."""
