"""What every group of figures needs: rows, references, servers, clients and the load generator."""
import json
import os
import pathlib
import socket
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Row:
    """One line of the table: a ratio per round, and the bound it has to keep."""

    def __init__(self, name, ratios, bound, at_least, note=""):
        self.name, self.ratios, self.bound, self.at_least, self.note = name, ratios, bound, at_least, note

    @property
    def median(self):
        return statistics.median(self.ratios)

    @property
    def kept(self):
        return self.median >= self.bound if self.at_least else self.median <= self.bound

    def text(self):
        sign = "≥" if self.at_least else "≤"
        verdict = "ok  " if self.kept else "MISS"
        span = f"{min(self.ratios):.2f}–{max(self.ratios):.2f}"
        return f"{verdict} {self.name:<58} {self.median:6.2f}  ({span})  {sign} {self.bound:<5} {self.note}"


def compile_references(into):
    flags = ["-O2", "-w"]
    for source, extra in (
        ("echo_limit.c", []),
        ("ujload.c", []),
        ("smmu_reference.c", []),
        ("jansson_srv.c", ["-ljansson"]),
        ("ring_load.c", []),
    ):
        subprocess.run(
            ["gcc", *flags, "-o", into / source.split(".")[0], HERE / "Reference" / source, *extra], check=True
        )
    absl = ["-labsl_throw_delegate", "-labsl_base", "-labsl_raw_logging_internal"]
    subprocess.run(
        ["g++", *flags, "-std=c++17", "-o", into / "iova_reference", HERE / "Reference" / "iova_reference.cpp", *absl],
        check=True,
    )


def pinned(*command, cpu="0"):
    return ["taskset", "-c", cpu, *map(str, command)]


class Server:
    """A server on its own socket, by default pinned to the core that the load generator uses too."""

    def __init__(self, command, path, wait_line, cpu="0"):
        self.path = str(path)
        if wait_line:
            self.process = subprocess.Popen(
                pinned(*command, cpu=cpu), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self.process.stdout.readline()
            return
        address = self.path + ".notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(address)
            notify.settimeout(10)
            self.process = subprocess.Popen(
                pinned(*command, cpu=cpu), stderr=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": address}
            )
            while b"READY=1" not in notify.recv(4096):
                pass
        os.unlink(address)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


class Client:
    """A connection for preparing what is measured."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")

    def call(self, method, **params):
        self.file.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
        self.file.flush()
        reply = json.loads(self.file.readline())
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]


def load(tools, server, requests, *, conns=1, depth=1, batch=1, secs=1.0, count=None, setup=()):
    command = pinned(
        tools / "ujload",
        "--sock",
        server.path,
        "--pid",
        server.process.pid,
        "--secs",
        secs,
        "--conns",
        conns,
        "--depth",
        depth,
        "--batch",
        batch,
    )
    if count is not None:
        command += ["--count", str(count), "--warmup", "0"]
    for line in setup:
        command += ["--setup", line]
    for line in requests:
        command += ["--req", line]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def request(method, **params):
    """A template of the load generator; only `@id@` stands for a number."""
    text = json.dumps({"jsonrpc": "2.0", "id": "@id@", "method": method, "params": params}, separators=(",", ":"))
    return text.replace('"@id@"', "@id@")
