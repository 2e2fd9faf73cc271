"""A study as settings: every key with its default and bounds (`schema`), and reading it from YAML (`loading`)."""
