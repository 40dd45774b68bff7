"""Compares every pair of the given versions so many times by `packaging`, parsed each time; prints the nanoseconds.

usage: packaging.py ROUNDS VERSION…
"""

import sys
import time

from packaging.version import Version

rounds, versions = int(sys.argv[1]), sys.argv[2:]
begun = time.perf_counter_ns()
for _ in range(rounds):
    for a in versions:
        for b in versions:
            one, other = Version(a), Version(b)
            (one > other) - (one < other)
print(time.perf_counter_ns() - begun)
