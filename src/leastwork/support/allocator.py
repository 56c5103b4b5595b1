"""Freed memory that stays with the process, so that the next array of the same size does not ask the system for it.

By default, glibc gives large blocks back as soon as they are free, unless a larger one was freed before (its man page
mallopt(3)). A network that makes arrays of half a megabyte then gets each of them as new pages, which the system has to
clear: a third of the time of a block. Dask's workers do so always, by the setting ``MALLOC_TRIM_THRESHOLD_``.
"""

import ctypes

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_LARGEST_KEPT = 2**25 - 1  # bytes of a block; glibc takes no more, and the thresholds reach it by themselves at best


def keep_freed_memory() -> None:
    """Keep up to 64 MiB of freed memory; nothing happens where the C library is not glibc.

    >>> keep_freed_memory()
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl or Windows
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_KEPT)
