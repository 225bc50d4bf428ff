#!/usr/bin/env python3
"""Measures iommud against reference programs in the same run and prints each figure as a ratio.

Machines drift, so every pair is taken in turns (reference, iommud, reference, …) and the median ratio counts.
Exit status 1 if a bound is missed.
"""
import argparse
import json
import pathlib
import sys
import tempfile

import durable
import in_process
import pipelined
import ring
import rpc
import turns
from harness import compile_references


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where iommud and iommud-bench are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", choices=("rpc", "pipelined", "smmu", "areas", "backend", "start", "turns", "durable", "ring")
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        compile_references(work)
        groups = {
            "rpc": lambda: rpc.rpc_rows(work, options.build, work, options.rounds),
            "pipelined": lambda: pipelined.rows(work, options.build, work, options.rounds),
            "smmu": lambda: in_process.in_process_rows(work, options.build, options.rounds),
            "areas": lambda: in_process.area_rows(work, options.build, options.rounds),
            "backend": lambda: in_process.backend_rows(options.build, options.rounds),
            "ring": lambda: ring.rows(work, options.build, work, options.rounds),
            "turns": lambda: turns.rows(work, options.build, work),
            "start": lambda: rpc.startup_rows(options.build, work, options.rounds),
            "durable": lambda: durable.rows(work, options.build, work, options.rounds),
        }
        rows = [row for key, group in groups.items() if options.only in (None, key) for row in group()]
    if options.json:
        print(
            json.dumps(
                [
                    {"name": r.name, "median": r.median, "ratios": r.ratios, "bound": r.bound, "kept": r.kept}
                    for r in rows
                ]
            )
        )
    else:
        print("\n".join(row.text() for row in rows))
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
