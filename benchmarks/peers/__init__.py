"""The problems that other papers chose, one file for each paper: their published numbers beside ours."""
