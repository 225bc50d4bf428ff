"""Methods that work on many things at once, against the same work in single calls on one pipelined connection."""
import base64
import json
import os
import socket
import threading
import time

from harness import ROOT, Client, Row, Server, load, request


def line(method, number=1, **params):
    return (
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}, separators=(",", ":")) + "\n"
    )


def server_nanoseconds(pid):
    """CPU time of all threads of the server; steadier than a wall clock on a shared machine."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


class Pipeline:
    """Sends prepared lines without waiting and reads as many replies."""

    def __init__(self, client, pid):
        self.socket, self.file, self.pid = client.socket, client.file, pid

    def exchange(self, payload, replies):
        """Raises if a reply is an error."""
        sender = threading.Thread(target=self.socket.sendall, args=(payload,))
        sender.start()
        for _ in range(replies):
            reply = self.file.readline()
            if '"error"' in reply[:200]:
                raise RuntimeError(reply[:500])
        sender.join()

    def cost(self, lines):
        """Server CPU in ns for all of `lines`."""
        payload = "".join(lines).encode()
        before = server_nanoseconds(self.pid)
        self.exchange(payload, len(lines))
        return server_nanoseconds(self.pid) - before

    def seconds(self, lines):
        """Time until the last of `lines` is answered."""
        payload = "".join(lines).encode()
        before = time.perf_counter()
        self.exchange(payload, len(lines))
        return time.perf_counter() - before


def rows(tools, build, work, rounds):
    daemon = Server(
        [build / "iommud", "--config", ROOT / "Config/lab.toml", "--socket", work / "pipelined.sock"],
        work / "pipelined.sock",
        False,
    )
    try:
        return [
            *map_many(tools, daemon, rounds),
            *invalidate(tools, daemon, rounds),
            replace(daemon, rounds),
            translate_many(tools, daemon, work, rounds),
        ]
    finally:
        daemon.stop()


def named_session(daemon, name):
    client = Client(daemon.path)
    client.call("session.attach", name=name)
    return client, [request("session.attach", name=name)]


def seconds_each(tools, daemon, template, count, setup):
    """Time of one of `count` single calls, 32 in flight on one connection."""
    result = load(tools, daemon, [template], depth=32, count=count, secs=60, setup=setup)
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} of {template} were refused")
    return 1 / result["ops_per_s"]


def map_many(tools, daemon, rounds, ranges=100_000, chunk=10_000):
    client, attach = named_session(daemon, "map_many")
    memory = client.call("memory.create", size=4096)["memory"]
    ioas = client.call("ioas.alloc")["ioas"]
    device = client.call("device.bind", name="0000:01:00.0")["device"]
    client.call("device.attach", device=device, pt=ioas)
    pipe = Pipeline(client, daemon.process.pid)
    mappings = [
        {"memory": memory, "length": 4096, "iova": 0x1_0000_0000 + (i << 12), "access": ["read"]} for i in range(ranges)
    ]
    template = request(
        "ioas.map", ioas=ioas, memory=memory, length=4096, iova=f"@hex:0x100000000:0x1000:{ranges}@", access=["read"]
    )
    singles = [line("ioas.map", ioas=ioas, **mapping) for mapping in mappings]
    many = [line("ioas.map_many", ioas=ioas, mappings=mappings[i : i + chunk]) for i in range(0, ranges, chunk)]

    def cleared(value):
        client.call("ioas.unmap", ioas=ioas, iova=0, length="0xffffffffffffffff")
        return value

    cleared(pipe.cost(many))
    times, costs = [], []
    for _ in range(rounds):
        single = cleared(seconds_each(tools, daemon, template, ranges, attach))
        times.append(single * ranges / cleared(pipe.seconds(many)))
        costs.append(cleared(pipe.cost(singles)) / cleared(pipe.cost(many)))
    client.call("session.close", name="map_many")
    client.socket.close()
    return [
        Row(f"ioas.map_many of {ranges:,} ranges, times single calls", times, 5, True, "(32 deep, by time)"),
        Row("the same by CPU, all single calls in flight at once", costs, 5, True),
    ]


def invalidate(tools, daemon, rounds, commands=1000, batches=100):
    client, attach = named_session(daemon, "invalidate")
    ioas = client.call("ioas.alloc")["ioas"]
    device = client.call("device.bind", name="0000:03:00.0")["device"]
    parent = client.call("hwpt.alloc", device=device, pt=ioas, flags=["nest_parent"])["hwpt"]
    viommu = client.call("viommu.alloc", device=device, hwpt=parent, type="arm_smmuv3")["viommu"]
    pipe = Pipeline(client, daemon.process.pid)
    first = hex(0x12 | 5 << 48)
    entries = [[first, hex((i << 12) | 1)] for i in range(commands)]
    template = request(
        "hwpt.invalidate", target=viommu, type="arm_smmuv3", entries=[[first, f"@hex:0x1:0x1000:{commands}@"]]
    )
    singles = [line("hwpt.invalidate", target=viommu, type="arm_smmuv3", entries=[entry]) for entry in entries]
    batch = [line("hwpt.invalidate", target=viommu, type="arm_smmuv3", entries=entries)]
    pipe.cost(singles + batch)
    times, costs = [], []
    for _ in range(rounds):
        single = seconds_each(tools, daemon, template, 20 * commands, attach)
        times.append(single * commands * batches / pipe.seconds(batch * batches))
        costs.append(pipe.cost(singles * 5) / pipe.cost(batch * 5))
    client.call("session.close", name="invalidate")
    client.socket.close()
    return [
        Row(f"hwpt.invalidate of {commands:,} commands, times single calls", times, 10, True, "(32 deep, by time)"),
        Row("the same by CPU, all single calls in flight at once", costs, 10, True),
    ]


def replace(daemon, rounds, calls=2000):
    client = Client(daemon.path)
    device = client.call("device.bind", name="0000:02:00.0")["device"]
    second = client.call("device.bind", name="0000:02:00.1")["device"]
    tables = [client.call("hwpt.alloc", device=device, pt=client.call("ioas.alloc")["ioas"])["hwpt"] for _ in range(2)]
    pipe = Pipeline(client, daemon.process.pid)
    pairs = [line("device.attach", device=device, pt=tables[0]), line("device.detach", device=device)] * calls
    replaces = [line("device.replace", device=device, pt=tables[i % 2]) for i in range(calls)]
    ratios = []
    for _ in range(rounds):
        attach = pipe.cost(pairs) / 2
        for one in (device, second):
            client.call("device.attach", device=one, pt=tables[1])
        ratios.append(pipe.cost(replaces) / attach)
        for one in (device, second):
            client.call("device.detach", device=one)
    client.socket.close()
    return Row(
        "device.replace of a group of two ÷ device.attach", ratios, 3, False, "(half of an attach + detach pair)"
    )


def stage1_vsmmu(client):
    """A vsmmu with one stream, one context and one mapped page, built in a memory object as a guest driver would."""
    ram, base = bytearray(1 << 16), 0x4000_0000

    def put(offset, *words):
        for index, word in enumerate(words):
            ram[offset + 8 * index : offset + 8 * index + 8] = word.to_bytes(8, "little")

    valid_table, leaf = 3, 1 << 10 | 3 << 8 | 1 << 6 | 3
    put(0x0, 1 | 5 << 1 | (base + 0x1000), 1 << 44 | 1 << 0)
    tcr = 16 | 0 << 6 | 1 << 30 | 1 << 31 | 4 << 32 | 1 << 41 | 1 << 43 | 1 << 45 | 1 << 46 | 1 << 48
    put(0x1000, tcr, base + 0x2000, 0, 0xFF)
    put(0x2000, (base + 0x3000) | valid_table)
    put(0x3000, (base + 0x4000) | valid_table)
    put(0x4000, (base + 0x5000) | valid_table)
    put(0x5000, *((base + 0x8000 + (i << 12)) | leaf for i in range(8)))
    memory = client.call("memory.create", size=1 << 16)["memory"]
    client.call("memory.write", memory=memory, offset=0, data=base64.b64encode(bytes(ram)).decode())
    vsmmu = client.call("vsmmu.create")["vsmmu"]
    client.call("vsmmu.memory", vsmmu=vsmmu, memory=memory, offset=0, length=1 << 16, gpa=hex(base))
    for offset, size, value in (
        (0x80, 8, base),
        (0x88, 4, 0),
        (0xA0, 8, base + 0x6000 | 4),
        (0x2C, 4, 0),
        (0x20, 4, 0x5),
    ):
        client.call("vsmmu.mmio_write", vsmmu=vsmmu, offset=offset, size=size, value=hex(value))
    return vsmmu


def translate_many(tools, daemon, work, rounds, count=1000, repeats=20):
    reference = Server([tools / "jansson_srv", work / "jansson.sock"], work / "jansson.sock", True)
    client = Client(daemon.path)
    vsmmu = stage1_vsmmu(client)
    requests = [{"stream_id": 0, "iova": hex((i % 8) << 12), "access": "read"} for i in range(count)]
    many = [line("vsmmu.translate_many", vsmmu=vsmmu, requests=requests)] * repeats
    element = line(
        "ioas.map", ioas=1, iova="0x100000", length=4096, user_va="0x7f0000000000", flags=["read", "write"]
    ).strip()
    singles = [element + "\n"] * (count * repeats)
    other = socket.socket(socket.AF_UNIX)
    other.connect(reference.path)
    plain = Client.__new__(Client)
    plain.socket, plain.file = other, other.makefile("r")
    ours, theirs = Pipeline(client, daemon.process.pid), Pipeline(plain, reference.process.pid)
    ratios = [ours.cost(many) / theirs.cost(singles) for _ in range(rounds)]
    reference.stop()
    return Row("vsmmu.translate_many, per translation ÷ C JSON reference", ratios, 3, False)
