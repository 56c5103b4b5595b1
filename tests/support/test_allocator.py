"""Memory that is freed stays with the process."""

import platform

import pytest
import torch

from leastwork.support.allocator import keep_freed_memory

PAGES, TIMES = 128, 50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_an_array_of_half_a_megabyte_takes_the_pages_of_the_one_before() -> None:
    resource = pytest.importorskip("resource")
    keep_freed_memory()
    torch.ones(PAGES * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(TIMES):
        torch.ones(PAGES * 1024)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < PAGES * TIMES / 4
