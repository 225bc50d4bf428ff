"""What it costs that named sessions outlive the daemon, against private sessions of the same daemon in the same run."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import ROOT, Client, Row, load, pinned, request
from pipelined import Pipeline, line, server_nanoseconds

STORE_FIRST = 3


class Keeper:
    """A service manager: keeps what is stored, by name, and answers barriers."""

    def __init__(self, path):
        self.path, self.kept = str(path), {}
        self.ready = threading.Event()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            data, files, _, _ = socket.recv_fds(self.socket, 65536, 4)
            lines = data.decode().split("\n")
            name = next((l[len("FDNAME=") :] for l in lines if l.startswith("FDNAME=")), None)
            if "FDSTORE=1" in lines:
                self.kept[name] = files.pop()
            if "FDSTOREREMOVE=1" in lines and name in self.kept:
                os.close(self.kept.pop(name))
            for file in files:
                os.close(file)
            if "READY=1" in lines:
                self.ready.set()


class Daemon:
    """Keeps its state in a directory and its descriptors with a ``Keeper``; may be ended and started again."""

    def __init__(self, build, work):
        self.build, self.work = build, work
        self.path, self.state = str(work / "durable.sock"), work / "state"
        self.keeper = Keeper(work / "durable.notify")
        self.start()

    def start(self):
        """Seconds from exec to READY."""
        kept = sorted(self.keeper.kept.items())

        def hand_over():
            copies = [os.dup2(file, 512 + index, inheritable=True) for index, (_, file) in enumerate(kept)]
            for index, copy in enumerate(copies):
                os.dup2(copy, STORE_FIRST + index, inheritable=True)

        environment = {**os.environ, "NOTIFY_SOCKET": self.keeper.path, "IOMMUD_DESCRIPTOR_STORE": "512"}
        command = [
            *pinned("sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", self.build / "iommud"),
            *("--config", ROOT / "Config/lab.toml", "--socket", self.path, "--state", self.state),
        ]
        if kept:
            environment["LISTEN_FDS"] = str(len(kept))
            environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in kept)
        self.keeper.ready.clear()
        begin = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=hand_over
        )
        if not self.keeper.ready.wait(120):
            raise RuntimeError("the daemon did not start")
        return time.monotonic() - begin

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)

    def resident(self):
        """Bytes of the daemon itself; client memory is not its own."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(l for l in text.splitlines() if l.startswith("RssAnon")).split()[1])

    def journal(self):
        return sum(file.stat().st_blocks * 512 for file in self.state.iterdir())


def rows(tools, build, work, rounds):
    daemon = Daemon(build, work)
    try:
        return [*paging(tools, daemon, rounds), many(daemon, rounds), *restart(daemon)]
    finally:
        daemon.stop()
        shutil.rmtree(daemon.state)


def prepare(named):
    """What a connection asks for before it is measured."""
    attach = [request("session.attach", name="durable")] if named else []
    return attach + [
        request("memory.create", size=1 << 21),
        request("ioas.alloc"),
        request("device.bind", name="0000:01:00.0"),
        request("device.attach", device=2, pt=1),
    ]


def paging(tools, daemon, rounds):
    iova = "@hex:0x100000000:0x1000:64@"
    pair = [
        request("ioas.map", ioas=1, memory=1, length=4096, iova=iova, access=["read", "write"]),
        request("ioas.unmap", ioas=1, iova=iova, length=4096),
    ]
    found = []
    for name, options, bound in (
        ("ioas.map + ioas.unmap, named session ÷ private, ping-pong", {}, 0.93),
        ("the same, 32 deep", {"depth": 32}, 0.80),
    ):
        ratios = []
        for _ in range(rounds):
            speeds = []
            for named in (False, True):
                result = load(tools, daemon, pair, setup=prepare(named), **options)
                if result["errors"]:
                    raise RuntimeError(f"{result['errors']} requests were refused")
                speeds.append(result["ops_per_s"])
                if named:
                    Client(daemon.path).call("session.close", name="durable")
            ratios.append(speeds[1] / speeds[0])
        found.append(Row(name, ratios, bound, True, f"{speeds[1]:,.0f}/s"))
    return found


def session(daemon, name=None):
    """With memory 1 and IOAS 1."""
    client = Client(daemon.path)
    if name:
        client.call("session.attach", name=name)
    client.call("memory.create", size=1 << 21)
    client.call("ioas.alloc")
    return client


def mappings(count, chunk=10_000):
    """Of one page each, without any order behind them."""
    each = [
        {
            "memory": 1,
            "length": 4096,
            "iova": 0x1_0000_0000 + (i << 12),
            "offset": (i * 7919 % 512) << 12,
            "access": ["read"],
        }
        for i in range(count)
    ]
    return [line("ioas.map_many", ioas=1, mappings=each[i : i + chunk]) for i in range(0, count, chunk)]


def many(daemon, rounds, count=100_000):
    lines, ratios = mappings(count), []
    for _ in range(rounds):
        seconds = []
        for name in (None, "many"):
            client = session(daemon, name)
            seconds.append(Pipeline(client, daemon.process.pid).seconds(lines))
            if name:
                client.call("session.close", name=name)
            client.socket.close()
        ratios.append(seconds[0] / seconds[1])
    return Row(f"ioas.map_many of {count:,} ranges, named session ÷ private", ratios, 0.85, True)


def restart(daemon, count=1_000_000):
    lines = mappings(count)
    before = daemon.resident()
    client = session(daemon, "restart")
    nanoseconds = server_nanoseconds(daemon.process.pid)
    Pipeline(client, daemon.process.pid).exchange("".join(lines).encode(), len(lines))
    made = (server_nanoseconds(daemon.process.pid) - nanoseconds) / 1e9
    daemon.kill()
    client.socket.close()
    seconds = daemon.start()
    client = Client(daemon.path)
    client.call("session.attach", name="restart")
    found = client.call("session.list")["sessions"]
    kept = next(s for s in found if s.get("name") == "restart")
    if kept["mapped_bytes"] not in (count * 4096, hex(count * 4096)):
        raise RuntimeError(f"mappings are missing: {kept}")
    journal = daemon.journal() / count
    held = journal + (daemon.resident() - before) / count
    client.call("session.close", name="restart")
    client.socket.close()
    return [
        Row(f"restart with {count:,} mappings, times the CPU time of making them", [seconds / made], 1.5, False),
        Row("the same, bytes of journal for a mapping", [journal], 40, False, f"({held:.0f} with RSS)"),
    ]
