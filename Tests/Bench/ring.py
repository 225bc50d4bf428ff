"""Rings of bare SMMUs: against an echo in C through the same ring plus the translation in process, and the socket."""
import fcntl
import json
import mmap
import os
import socket
import struct
import subprocess

from harness import ROOT, Client, Row, Server, load, pinned, request
from in_process import items

GPA = 0x80000000
MEMORY = 1 << 20
TABLES = 0x31000
# A queue of 128: invalidations of one page and CMD_SYNCs in turns.
COMMANDS = 0x20000
ENTRIES = 128


def guest_memory():
    """A stream table with stream 1, whose stage 1 maps 128 pages of 4 KiB."""
    memfd = os.memfd_create("guest", os.MFD_ALLOW_SEALING)
    os.ftruncate(memfd, MEMORY)
    with mmap.mmap(memfd, MEMORY) as memory:

        def store(offset, *words):
            memory[offset : offset + 8 * len(words)] = struct.pack(f"<{len(words)}Q", *words)

        store(64, 0xB | (GPA + 0x30000))
        flags = 25 | 1 << 30 | 1 << 31 | 4 << 32 | 1 << 41 | 1 << 45 | 1 << 46
        store(0x30000, flags, GPA + TABLES, 0, 0xFF)
        store(TABLES, (GPA + TABLES + 0x1000) | 3)
        store(TABLES + 0x1000, (GPA + TABLES + 0x2000) | 3)
        for entry in range(0, 128, 2):
            store(COMMANDS + 16 * entry, 0x12, (entry << 12) | 0x701, 0x46, 0)
        store(TABLES + 0x2000, *((0x40000000 + 4096 * page) | 0xF43 for page in range(128)))
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return memfd


def bring_up(client):
    """vsmmu 1 of the client's session, translating by that memory."""
    memfd = guest_memory()
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "memory.import", "params": {}}) + "\n"
    socket.send_fds(client.socket, [line.encode()], [memfd])
    client.file.readline()
    os.close(memfd)
    client.call("vsmmu.create")
    client.call("vsmmu.memory", vsmmu=1, memory=1, length=MEMORY, gpa=GPA)
    registers = (
        (0x80, 8, GPA),
        (0x88, 4, 4),
        (0xA0, 8, GPA + 0x10000 | 3),
        (0x90, 8, GPA + COMMANDS | 7),
        (0x20, 4, 13),
    )
    for offset, size, value in registers:
        client.call("vsmmu.mmio_write", vsmmu=1, offset=offset, size=size, value=value)


def open_ring(client):
    """The ring's memory and eventfds, in this process."""
    line = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "vsmmu.ring_open", "params": {"vsmmu": 1, "entries": ENTRIES}}
    )
    client.socket.sendall(line.encode() + b"\n")
    reply, descriptors, _, _ = socket.recv_fds(client.socket, 4096, 3)
    if len(descriptors) != 3:
        raise RuntimeError(reply.decode())
    return descriptors


class Echo:
    """The server that only echoes, on its own core."""

    def __init__(self, tools):
        length = 4096 + ENTRIES * 32 + 2 * ENTRIES * 64
        memfd = os.memfd_create("echo")
        os.ftruncate(memfd, length)
        header = struct.pack("<6IQ", 0x72736F69, 1, ENTRIES, 2 * ENTRIES, 4096, 4096 + ENTRIES * 32, length)
        os.pwrite(memfd, header, 0)
        self.descriptors = [memfd, os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)]
        self.process = subprocess.Popen(
            pinned(tools / "ring_load", "serve", *self.descriptors, cpu="1"), pass_fds=self.descriptors
        )

    def stop(self):
        self.process.kill()
        self.process.wait()
        for descriptor in self.descriptors:
            os.close(descriptor)


def nanoseconds(tools, descriptors, depth, seconds=0.5):
    """For a translation."""
    done = subprocess.run(
        pinned(tools / "ring_load", "load", *descriptors, depth, seconds),
        pass_fds=descriptors,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)["ns"]


def rows(tools, build, work, rounds):
    alone, deep, socket_row = [], [], []
    echo = Echo(tools)
    daemon = Server(
        [build / "iommud", "--config", ROOT / "Config/lab.toml", "--socket", work / "ring.sock"],
        work / "ring.sock",
        False,
        cpu="1",
    )
    client = Client(daemon.path)
    client.call("session.attach", name="ring")
    bring_up(client)
    ring = open_ring(client)
    attach = request("session.attach", name="ring")
    translate = request("vsmmu.translate", vsmmu=1, stream_id=1, iova="0x18", access="write")
    figures = []
    for _ in range(rounds):
        hit = items([build / "iommud-bench", "smmu", "0.1"])["translate-hit-128p"]
        echoed = {depth: nanoseconds(tools, echo.descriptors, depth) for depth in (1, 64)}
        ours = {depth: nanoseconds(tools, ring, depth) for depth in (1, 64)}
        call = 1e9 / load(tools, daemon, [translate], secs=0.5, setup=[attach])["ops_per_s"]
        alone.append(ours[1] / (echoed[1] + hit))
        deep.append(ours[64] / (echoed[64] + hit))
        socket_row.append(call / ours[1])
        figures.append((ours[1], ours[64], call))
    daemon.stop()
    echo.stop()
    middle = sorted(figures)[len(figures) // 2]
    note = "%.0f ns alone, %.0f ns 64 deep, %.0f ns by the socket" % middle
    return [
        Row("ring, one translation ÷ (C echo + SMMU.translate)", alone, 1.5, False, note),
        Row("ring, 64 deep ÷ (C echo + SMMU.translate)", deep, 1.5, False),
        Row("vsmmu.translate by the socket ÷ by the ring, alone", socket_row, 20, True),
    ]
