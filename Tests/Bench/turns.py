"""How long others wait while one client asks for as much as it may: the longest turn of the loop, and a second client's
round trips."""
import json
import multiprocessing
import subprocess
import threading
import time

import ring
from harness import ROOT, Client, Row, Server

# A quarter of what was seen to hold the loop for tens of seconds.
ADDRESS_SPACES = 15_000
MAPPINGS = 100_000
BATCH = 10_000


def text(method, identity=None, **params):
    request = {"jsonrpc": "2.0", "method": method, "params": params}
    if identity is not None:
        request["id"] = identity
    return json.dumps(request, separators=(",", ":"))


class Attacker(Client):
    """A client with much in its session, and lines that ask for all of it."""

    def prepare(self):
        self.stream([text("ioas.alloc", 1)] * ADDRESS_SPACES)
        self.stream(
            text("ioas.allow_iovas", 1, ioas=number, ranges=[{"start": 0, "last": "0xffffffffffff"}])
            for number in range(1, ADDRESS_SPACES + 1)
        )
        memory = self.call("memory.create", size=4096)["memory"]
        self.ioas = self.call("ioas.alloc")["ioas"]
        self.stream(
            text("ioas.map", 1, ioas=self.ioas, memory=memory, length=4096, iova=hex(number << 13), access=["read"])
            for number in range(MAPPINGS)
        )

    def stream(self, lines, at_once=256):
        """Sends all lines and reads their replies, some at a time."""
        waiting = 0
        for line in lines:
            self.file.write(line + "\n")
            waiting += 1
            if waiting == at_once:
                waiting = self.drain(waiting)
        self.drain(waiting)

    def drain(self, count):
        self.file.flush()
        for _ in range(count):
            reply = self.file.readline()
            if '"error"' in reply[:200]:
                raise RuntimeError(reply[:500])
        return 0

    def attacks(self):
        """Name and work of each."""
        yield "a batch of topology.list notifications", lambda: self.batch([text("topology.list")] * BATCH)
        yield "a batch of rpc.discover", lambda: self.batch([text("rpc.discover", 1)] * (BATCH // 4))
        yield "a row of device.explain", lambda: self.stream([text("device.explain", 1, name="0000:01:00.0")] * 1250)
        yield "ioas.mappings", lambda: self.stream([text("ioas.mappings", 1, ioas=self.ioas, limit=MAPPINGS)])
        yield "session.objects", lambda: self.stream([text("session.objects", 1)])

    def batch(self, requests):
        """Ends when a call behind it is answered."""
        self.file.write("[" + ",".join(requests) + "]\n" + text("daemon.info", "end") + "\n")
        self.file.flush()
        while not self.file.readline().startswith('{"jsonrpc":"2.0","id":"end"'):
            pass


class GuestAtWork(Client):
    """The VMM of a guest that asks all that it can of its bare SMMU: through a ring, in rows of translations, and with
    full command queues, whose invalidations the ring's client acknowledges."""

    SECONDS = 4

    def __init__(self, path):
        super().__init__(path)
        ring.bring_up(self)
        self.descriptors = ring.open_ring(self)
        requests = [{"stream_id": 1, "iova": hex(number % 128 << 12)} for number in range(BATCH)]
        self.row = text("vsmmu.translate_many", 1, vsmmu=1, requests=requests)
        self.producer = 0

    def work(self, tools):
        command = [tools / "ring_load", "load", *map(str, self.descriptors), "64", "600"]
        client = subprocess.Popen(command, pass_fds=self.descriptors, stdout=subprocess.DEVNULL)
        end = time.monotonic() + self.SECONDS
        while time.monotonic() < end:
            self.producer = (self.producer + 128) % 256
            write = text("vsmmu.mmio_write", 2, vsmmu=1, offset="0x98", size=4, value=self.producer)
            self.file.write(self.row + "\n" + write + "\n")
            self.file.flush()
            waiting = 2
            while waiting:
                reply = self.file.readline()
                if '"error"' in reply[:200]:
                    raise RuntimeError(reply[:500])
                waiting -= '"method":"event"' not in reply[:60]
        # It acknowledges until the last write has its reply.
        client.terminate()
        client.wait()


def guests_at_work(path, tools):
    """Two of them, of two sessions."""
    guests = [GuestAtWork(path) for _ in range(2)]

    def work():
        threads = [threading.Thread(target=guest.work, args=(tools,)) for guest in guests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return work


def ping(path, stop, result):
    """Round trips of a second client, in milliseconds, until told to stop."""
    client = Client(path)
    times = []
    while not stop.is_set() or len(times) < 1000:
        begin = time.perf_counter()
        client.call("daemon.info")
        times.append((time.perf_counter() - begin) * 1000)
    result.put(times)


def waits(path, work):
    """How long the second client waited while `work` ran: p99.9 and the longest, in milliseconds."""
    stop, result = multiprocessing.Event(), multiprocessing.Queue()
    pinger = multiprocessing.Process(target=ping, args=(path, stop, result))
    pinger.start()
    work()
    stop.set()
    times = sorted(result.get())
    pinger.join()
    return times[int(len(times) * 0.999)], times[-1]


def rows(tools, build, work):
    """One round: what is prepared is large, and the longest turn since the start does not come back."""
    daemon = Server(
        [build / "iommud", "--config", ROOT / "Config/lab.toml", "--socket", work / "turns.sock"],
        work / "turns.sock",
        False,
    )
    try:
        idle, _ = waits(daemon.path, lambda: None)
        made = []
        usual, longest = waits(daemon.path, guests_at_work(daemon.path, tools))
        name = "two bare SMMUs with rings"
        made.append(Row(f"p99.9 of others over idle, ms: {name}", [usual - idle], 5, False, f"max {longest:.1f} ms"))
        attacker = Attacker(daemon.path)
        attacker.prepare()
        for name, attack in attacker.attacks():
            usual, longest = waits(daemon.path, attack)
            made.append(
                Row(f"p99.9 of others over idle, ms: {name}", [usual - idle], 5, False, f"max {longest:.1f} ms")
            )
        turns = Client(daemon.path).call("daemon.stats")["longest_turn_microseconds"]
        worst = max(turns, key=turns.get, default="none")
        return made + [Row("longest turn, ms of processor time", [turns.get(worst, 0) / 1000], 5, False, f"in {worst}")]
    finally:
        daemon.stop()
