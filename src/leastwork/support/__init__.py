"""General tools: text, files, random seeds, progress."""
