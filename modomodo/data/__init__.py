"""Stage 1: published or own datasets → examples and images in one format.

The prompt templates and the extraction of answers are here too: training and evaluation share them.
"""
