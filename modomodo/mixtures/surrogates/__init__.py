"""Surrogates: records → a predictor of scores for any mixture, with its uncertainty."""
