"""The benchmarks of other papers, one file a paper."""
