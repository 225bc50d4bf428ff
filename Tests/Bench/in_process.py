"""The device model, the page tables and the IOVA areas, each in process against its reference."""
import json
import subprocess

from harness import Row, pinned


def items(command):
    lines = subprocess.run(pinned(*command), check=True, capture_output=True, text=True).stdout.splitlines()
    return {line["item"]: line["ns"] for line in map(json.loads, lines) if "item" in line}


def in_process_rows(tools, build, rounds):
    pairs = (
        ("SMMU.translate, TLB hit, 128 pages ÷ C", "base-translate-hit-128p", "translate-hit-128p", 0.9),
        ("SMMU.translate, 4-level stage-1 walk ÷ C", "base-translate-miss-64Kp", "translate-miss-64Kp", 0.9),
        ("SMMU.translate, nested walk ÷ C", "base-translate-nested-miss-64Kp", "translate-nested-miss-64Kp", 0.8),
        ("map + unmap of 4 KiB pages, random ÷ C", "base-map4k+unmap4k-pair-random", "map4k+unmap4k-pair-random", 0.8),
        ("map of 4 KiB pages, in order ÷ C", "base-map4k-seq", "map4k-seq", 0.8),
        ("unmap of 4 KiB pages, in order ÷ C", "base-unmap4k-seq", "unmap4k-seq", 0.8),
    )
    collected = {name: [] for name, *_ in pairs}
    for _ in range(rounds):
        reference = items([tools / "smmu_reference", "0.3"])
        ours = items([build / "iommud-bench", "smmu", "0.3"])
        for name, base, own, _ in pairs:
            collected[name].append(reference[base] / ours[own])
    return [Row(name, collected[name], bound, True) for name, _, _, bound in pairs]


def area_rows(tools, build, rounds):
    keys = ("insert_ns", "find_ns", "remove_ns")
    collected = {key: [] for key in keys}
    for _ in range(max(1, rounds // 2)):
        lines = subprocess.run(
            pinned(tools / "iova_reference", "1000000", "1"), check=True, capture_output=True, text=True
        ).stdout.splitlines()
        reference = next(line for line in map(json.loads, lines) if line["container"] == "absl::btree_map")
        ours = json.loads(
            subprocess.run(
                pinned(build / "iommud-bench", "areas", "1000000"), check=True, capture_output=True, text=True
            ).stdout
        )
        for key in keys:
            collected[key].append(reference[key] / ours[key])
    return [Row(f"IOVA areas at 1,000,000, {key[:-3]} ÷ absl::btree_map", collected[key], 0.8, True) for key in keys]


def backend_rows(build, rounds):
    """Ratios that `iommud-bench backend` forms itself, both sides in one process."""
    bounds = {
        "dirty-bitmap-1GiB": ("dirty bitmap of 1 GiB in 4 KiB pages ÷ C loop over the same tables", 0.8, True),
        "sva-bind": ("sva.bind + unbind of a known mm ÷ attach + detach", 2.0, False),
        "sva-10000-bonds": ("a bind among 10,000 bonds over 1,000 mms ÷ among the first 100", 2.0, False),
        "queue-submit-1MiB": ("queue.submit copies of 1 MiB by a thread ÷ process_vm_readv + writev", 0.3, True),
        "queue-submit-1MiB-helper": ("queue.submit copies of 1 MiB by a helper ÷ process_vm_readv + writev", 0.5, True),
    }
    collected = {key: [] for key in bounds}
    for _ in range(rounds):
        lines = subprocess.run(
            pinned(build / "iommud-bench", "backend", build / "iommud"), check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for line in map(json.loads, lines):
            collected[line["item"]].append(line["ratio"])
    return [Row(name, collected[key], bound, at_least) for key, (name, bound, at_least) in bounds.items()]
