"""Tasks of lmms-eval as benchmarks: what their files say without it, and in its own environment their questions."""
