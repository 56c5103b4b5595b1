"""Pages on paper: blocks, figures, numerals and templates; knows no run."""
