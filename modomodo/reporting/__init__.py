"""Records → what people look at: Table 2, figures, the explorer, the pages of runs, the report."""
