"""The command line of a benchmark."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter

__all__ = ["options"]


def options(about: str | None) -> ArgumentParser:
    """A parser whose ``--help`` prints the docstring of the benchmark as it stands."""
    return ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
