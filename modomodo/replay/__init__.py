"""A study of recorded runs: any table of weights and scores → the next mixtures and a report. Trains nothing."""
