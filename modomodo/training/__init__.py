"""Stage 3: a stream and a base model → checkpoints, by GRPO with verifiable rewards."""
