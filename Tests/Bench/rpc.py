"""The hot path over the socket, against a C epoll echo on the same core; start-up and idle memory."""
import os
import pathlib
import socket
import subprocess
import time

from harness import ROOT, Client, Row, Server, load, request


def prepared_session(daemon):
    """A named session with an IOAS that a device is attached to, and memory to map; shared by all connections."""
    client = Client(daemon.path)
    client.call("session.attach", name="bench")
    memory = client.call("memory.create", size=1 << 21)["memory"]
    ioas = client.call("ioas.alloc")["ioas"]
    device = client.call("device.bind", name="0000:01:00.0")["device"]
    client.call("device.attach", device=device, pt=ioas)
    return client, memory, ioas


def rpc_rows(tools, build, work, rounds):
    echo = Server([tools / "echo_limit", work / "echo.sock"], work / "echo.sock", True)
    daemon = Server(
        [build / "iommud", "--config", ROOT / "Config/lab.toml", "--socket", work / "iommud.sock"],
        work / "iommud.sock",
        False,
    )
    try:
        return measure_rpc(tools, echo, daemon, rounds)
    finally:
        echo.stop()
        daemon.stop()


def pair_of(ioas, memory):
    """Each page is mapped and unmapped again."""
    iova = "@hex:0x100000000:0x1000:64@"
    return [
        request("ioas.map", ioas=ioas, memory=memory, length=4096, iova=iova, access=["read", "write"]),
        request("ioas.unmap", ioas=ioas, iova=iova, length=4096),
    ]


def private_session():
    """What a connection needs that shares its session with nobody: what named sessions cost has rows of its own."""
    return [
        request("memory.create", size=1 << 21),
        request("ioas.alloc"),
        request("device.bind", name="0000:03:00.0"),
        request("device.attach", device=2, pt=1),
    ]


def measure_rpc(tools, echo, daemon, rounds):
    client, memory, ioas = prepared_session(daemon)
    attach = [request("session.attach", name="bench")]
    private = (private_session(), pair_of(1, 1))
    rows = []
    for name, options, bound, (setup, pair) in (
        ("ioas.map + ioas.unmap, ping-pong ÷ C epoll echo", {}, 0.80, private),
        ("the same, 32 deep", {"depth": 32}, 0.30, private),
        ("the same, 64 connections of a named session", {"conns": 64}, 0.80, (attach, pair_of(ioas, memory))),
    ):
        ratios, cpu = [], []
        for _ in range(rounds):
            reference = load(tools, echo, pair, **options)
            # What was in flight when the last load ended may have left a page mapped.
            client.call("ioas.unmap", ioas=ioas, iova=0, length="0xffffffffffffffff")
            ours = load(tools, daemon, pair, setup=setup, **options)
            ratios.append(ours["ops_per_s"] / reference["ops_per_s"])
            cpu.append(ours["srv_run_us"] / reference["srv_run_us"])
        rows.append(Row(name, ratios, bound, True, f"{ours['ops_per_s']:,.0f}/s"))
        if not options:
            rows.append(Row("server CPU per request, ping-pong ÷ C echo's", cpu, 1.25, False))
    return rows


def startup_rows(build, work, rounds):
    milliseconds, mebibytes = [], []
    for index in range(rounds):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(work / f"notify{index}")
        notify.bind(address)
        notify.settimeout(10)
        begin = time.monotonic()
        daemon = subprocess.Popen(
            [build / "iommud", "--socket", work / f"start{index}.sock"],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": address},
        )
        while b"READY=1" not in notify.recv(4096):
            pass
        milliseconds.append((time.monotonic() - begin) * 1000)
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        mebibytes.append(int(next(l for l in status.splitlines() if l.startswith("VmRSS")).split()[1]) / 1024)
        daemon.terminate()
        daemon.wait(timeout=10)
    return [Row("RSS idle, MiB", mebibytes, 16, False), Row("exec to READY, ms", milliseconds, 50, False)]
