"""Pages of reports: blocks, figures and templates, which do not depend on runs."""
