#!/usr/bin/env python3
"""Lets one client ask for as much as it may, for minutes, under a watchdog of two seconds.

Exit status 1 if the daemon was silent for longer, or ended.
"""
import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import ROOT, Client
from turns import Attacker

WATCHDOG = 2.0


def listen(notify, gaps, ready):
    """Notes the time between signs of life, until the daemon says that it stops."""
    last = None
    while True:
        message = notify.recv(4096)
        if b"READY=1" in message:
            ready.set()
        if b"STOPPING=1" in message:
            return
        if b"WATCHDOG=1" in message:
            now = time.monotonic()
            if last is not None:
                gaps.append(now - last)
            last = now


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where iommud is")
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(f"{name}/notify")
        gaps, ready = [], threading.Event()
        listener = threading.Thread(target=listen, args=(notify, gaps, ready), daemon=True)
        listener.start()
        environment = {**os.environ, "NOTIFY_SOCKET": f"{name}/notify", "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
        command = [options.build / "iommud", "--config", ROOT / "Config/lab.toml", "--socket", f"{name}/socket"]
        daemon = subprocess.Popen(command, env=environment)
        if not ready.wait(20):
            daemon.kill()
            sys.exit("the daemon did not start")
        end = time.monotonic() + options.minutes * 60
        rounds = 0
        while time.monotonic() < end:
            attacker = Attacker(f"{name}/socket")
            attacker.prepare()
            for _, attack in attacker.attacks():
                attack()
            attacker.socket.close()
            rounds += 1
        turns = Client(f"{name}/socket").call("daemon.stats")["longest_turn_microseconds"]
        daemon.terminate()
        status = daemon.wait(timeout=60)
        listener.join(10)
    longest = max(gaps, default=0)
    print(f"{rounds} rounds; the longest silence was {longest:.2f} s; status {status}; longest turns in µs: {turns}")
    return 0 if status == 0 and gaps and longest < WATCHDOG else 1


if __name__ == "__main__":
    sys.exit(main())
