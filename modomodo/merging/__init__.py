"""Scores of mixtures that were never trained, from merged checkpoints of single domains."""
