"""Records → what people look at: Table 2, figures, the explorer, the first page of the report."""
