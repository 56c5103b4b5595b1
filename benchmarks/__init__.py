"""Measured figures and pictures of the documentation, one question a file: `python -m benchmarks.NAME`.

Run from the root of the checkout; `--help` says what a benchmark asks and how long it takes, and `python -m
benchmarks.all` runs all of them. The times in the heads are rounded, for one quiet core, and most are reckoned from the
number of network evaluations; `all` prints what they were. Shared by the benchmarks: problems (systems and models),
timing, fresh (processes and memory), two_ways, table, picture and command.
"""
