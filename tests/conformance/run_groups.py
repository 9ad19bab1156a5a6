"""Runs groups of Autobahn cases, one after the other, two cases at a time; a line a group, then the sum."""

import asyncio
import os
import sys

from kosoku import FailureError, run_fuzzingclient

PARALLEL = 2


async def run_group(url, group):
    """Returns the results of one group, the failed ones among them."""
    try:
        return await run_fuzzingclient(url, [f"{group}.*"], concurrency=PARALLEL)
    except FailureError as failure:
        return failure.results


def verdict(result):
    if result.behavior.value == "UNIMPLEMENTED":
        return "skipped"
    return "passed" if result.passed else "failed"


def describe(result):
    return (f"  case {result.case_id}: {result.behavior.value} ({result.result}); "
            f"close {result.behavior_close.value} ({result.result_close})")


async def main(url, groups):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for group in groups:
        counts = dict.fromkeys(total, 0)
        results = await run_group(url, group)
        for result in results:
            counts[verdict(result)] += 1
        print(f"group {group}: " + ", ".join(f"{n} {word}" for word, n in counts.items()), flush=True)
        for result in results:
            if verdict(result) != "passed":
                print(describe(result), flush=True)
        if not results:
            print(f"  group {group} has no cases", flush=True)
            counts["failed"] += 1
        for word, n in counts.items():
            total[word] += n
    print(", ".join(f"{n} {word}" for word, n in total.items()))
    return 1 if total["failed"] else 0


status = asyncio.run(main(sys.argv[1], sys.argv[2:]))
sys.stdout.flush()
os._exit(status)  # now and then the interpreter aborts while it is torn down, with every case done and counted
