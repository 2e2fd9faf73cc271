"""Metrics: one completion and its example → a value in [0, 1]; a benchmark's values → its score.

A study names a benchmark's metric, and may name any of them as a domain's reward. Where the paper, the benchmark's
authors and lmms-eval differ, each reading is a metric of its own; docs/fidelity.md says which is the default and why.
"""
