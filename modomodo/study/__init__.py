"""What looks at a whole study: checks, outputs, costs, status, provenance, and the reference of all keys."""
