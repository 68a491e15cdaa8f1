"""Correlation ids."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tidings.messaging.correlation import new_correlation_id


def test_ids_are_unique_across_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_correlation_id(), range(1000)))
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", each) for each in ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_a_prefix_of_its_own() -> None:
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, new_correlation_id().encode())
        os._exit(0)
    os.close(write)
    os.wait()
    with open(read) as pipe:
        theirs = pipe.read()
    assert theirs.partition("-")[0] != new_correlation_id().partition("-")[0]
