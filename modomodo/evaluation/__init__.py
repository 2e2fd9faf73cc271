"""Stage 4: checkpoints and benchmarks → predictions → scores → records, which close the loop to `mixtures`."""
