"""Repeated timing, in the way of ../src/timing.rs."""

import statistics
import time


def timed(step, budget, runs):
    """The time of each run in ms: three runs that do not count, then at least 5, until the budget (s) or `runs` is used up."""
    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 5 or (len(times) < runs and time.perf_counter() - start < budget):
        began = time.perf_counter()
        step()
        times.append((time.perf_counter() - began) * 1e3)
    return times


def fields(times, parts=1):
    """Median and least time of one of `parts` equal parts of a run, and the number of runs."""
    return {"ms": statistics.median(times) / parts, "min_ms": min(times) / parts, "runs": len(times)}
