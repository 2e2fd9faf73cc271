"""Stage 2: what to train on. Weights and constraints, the plan of a study, streams, records, strategies, surrogates."""
