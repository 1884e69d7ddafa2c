"""Solvers, learning-rate schedules and gradient clipping on flat vectors, in place; only ``numpy`` is imported here."""
