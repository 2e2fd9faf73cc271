"""What answers questions: transformers (`hf`) or vLLM behind one interface (`base`), chosen in `start`."""
