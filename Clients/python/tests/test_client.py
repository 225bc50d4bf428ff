"""The synchronous client against a daemon."""
import ctypes
import errno
import os
import pickle
import socket
import unittest

import iommud
from iommud import _calls
from iommud._call import Subject
from support import DEVICE, Cutter, Daemon, BINARIES, DaemonTest


#: What the client has: `subject.verb`.
METHODS = [
    f"{name.lower()}.{verb}"
    for name, subject in vars(_calls).items()
    if isinstance(subject, type) and issubclass(subject, Subject) and subject is not Subject
    for verb in vars(subject)
    if not verb.startswith("_")
]


class CallTests(DaemonTest):
    def setUp(self):
        self.client = self.enterContext(iommud.Client(self.socket))

    def mapped(self, size=0x10000, iova=0x10000):
        """A memfd, imported, mapped and reachable by a device."""
        memory = os.memfd_create("test")
        self.addCleanup(os.close, memory)
        os.ftruncate(memory, size)
        imported = self.client.memory.import_(memory, name="test")
        self.assertEqual(imported.size, size)
        ioas = self.client.ioas.alloc().ioas
        reply = self.client.ioas.map(ioas, memory=imported.memory, length=size, iova=iova, access=["read", "write"])
        self.assertEqual(reply.iova, iova)
        device = self.client.device.bind(DEVICE).device
        self.client.device.attach(device, pt=ioas)
        return memory, ioas, device, imported.memory

    def test_a_device_writes_into_memory_that_came_by_descriptor(self):
        memory, _, device, _ = self.mapped()
        self.assertEqual(self.client.dma.write(device, iova=0x10010, data=b"\x00\xffhello").written, 7)
        self.assertEqual(os.pread(memory, 7, 0x10), b"\x00\xffhello")
        self.assertEqual(self.client.dma.read(device, iova=0x10012, length=5).data, b"hello")

    def test_descriptors_come_back(self):
        memory, _, _, number = self.mapped()
        reply = self.client.memory.export(number)
        self.assertEqual(len(reply.fds), 1)
        with open(reply.fds[0], "rb+", buffering=0) as exported:
            exported.write(b"seen by both")
            self.assertFalse(os.get_inheritable(exported.fileno()))
        self.assertEqual(os.pread(memory, 12, 0), b"seen by both")

    def test_two_descriptors_go_along(self):
        with open("/proc/self/mem", "rb+", buffering=0) as mem, open("/proc/self/maps", "rb") as maps:
            mm = self.client.mm.open(fds=[mem, maps]).mm
        device = self.client.device.bind("uacce0").device
        queue = self.client.queue.open(device, mm=mm).queue
        self.client.queue.start(queue)
        buffer = ctypes.create_string_buffer(100_000)
        self.client.queue.submit(queue, op="fill", dst=ctypes.addressof(buffer), length=len(buffer), value=0x2A)
        self.assertEqual(buffer.raw, b"*" * 100_000)

    def test_a_descriptor_that_is_missing_is_a_refusal_and_the_next_call_has_its_own(self):
        with self.assertRaises(iommud.Refused) as caught:
            self.client.call("memory.import")
        self.assertEqual((caught.exception.errno, caught.exception.reason), (errno.EBADF, "descriptor_missing"))
        self.mapped()

    def test_a_refusal_says_what_why_and_what_to_do(self):
        _, ioas, _, memory = self.mapped()
        with self.assertRaises(OSError) as caught:
            self.client.ioas.map(ioas, memory=memory, length=0x1000, iova=0x10000)
        refusal = caught.exception
        self.assertIsInstance(refusal, iommud.Refused)
        self.assertEqual((refusal.errno, refusal.code), (errno.EEXIST, -errno.EEXIST))
        self.assertEqual((refusal.reason, refusal.method), ("already_mapped", "ioas.map"))
        self.assertEqual(refusal.data["ioas"], ioas)
        self.assertTrue(refusal.hint and refusal.hint in refusal.message)
        self.assertIn("EEXIST already_mapped", str(refusal))
        self.assertEqual(pickle.loads(pickle.dumps(refusal)).reason, "already_mapped")

    def test_a_mistake_in_the_parameters_is_EINVAL_with_the_code_of_JSON_RPC(self):
        with self.assertRaises(iommud.Refused) as caught:
            self.client.call("ioas.map", ioas=1, colour="red")
        self.assertEqual((caught.exception.errno, caught.exception.code), (errno.EINVAL, -32602))

    def test_numbers_of_64_bits_are_exact(self):
        with self.assertRaises(iommud.Refused) as caught:
            self.client.ioas.unmap(self.client.ioas.alloc().ioas, iova=0xFFFF_FFFF_FFFF_F001, length=0x1000)
        self.assertEqual(caught.exception.reason, "iova_overflow")
        ranges = self.client.ioas.iova_ranges(self.client.ioas.alloc().ioas).ranges
        self.assertEqual(ranges[-1].last, 2**64 - 1)

    def test_objects_in_lists_go_out_and_come_back(self):
        memory = self.client.memory.create(0x4000).memory
        ioas = self.client.ioas.alloc().ioas
        wanted = [
            iommud.types.IoasMapManyMapping(memory=memory, length=0x1000, iova=at, offset=at - 0x8000)
            for at in (0x8000, 0xA000)
        ]
        self.assertEqual(self.client.ioas.map_many(ioas, mappings=wanted).iovas, [0x8000, 0xA000])
        page = self.client.ioas.mappings(ioas, limit=1)
        self.assertEqual([(m.iova, m.length, m.offset) for m in page.mappings], [(0x8000, 0x1000, 0)])
        self.assertEqual(self.client.ioas.mappings(ioas, start=page.next).mappings[0].iova, 0xA000)
        device = next(d for d in self.client.topology.list().devices if d.name == DEVICE)
        self.assertIn(0x8000000, [reserved.start for reserved in device.reserved])

    def test_a_reply_longer_than_a_read_comes_whole(self):
        memory = self.client.memory.create(0x100000).memory
        data = bytes(range(256)) * 0x800
        self.assertEqual(self.client.memory.write(memory, data=data).written, len(data))
        self.assertEqual(self.client.memory.read(memory, length=len(data)).data, data)

    def test_a_walk_is_read_with_all_that_is_in_it(self):
        _, _, device, _ = self.mapped()
        walk = self.client.smmu.translate(device=device, iova=0x10000, trace=True)
        self.assertEqual((walk.attributes.read, walk.attributes.shareability), (True, "inner"))
        self.assertEqual([step.level for step in walk.steps], [0, 1, 2, 3])
        self.assertEqual(walk.page_size, 0x1000)
        self.assertEqual(self.client.smmu.ste(device=device).words[0] & 1, 1)

    def test_every_object_of_a_result_can_be_read(self):
        replies = [self.client.daemon.info(), self.client.daemon.stats(), self.client.smmu.registers("smmu0")]
        self.assertEqual(replies[0].version, iommud.__version__)
        self.assertGreaterEqual(replies[1].requests["daemon.info"], 1)
        self.assertIsInstance(replies[2].registers["CR0"], int)
        self.assertEqual(len(self.client.rpc.discover()["methods"]), len(METHODS))

    def test_events_wait_until_they_are_asked_for(self):
        _, _, device, _ = self.mapped()
        self.client.events.subscribe(kinds=["smmu_event"])
        self.assertIsNone(self.client.next_event(0))
        for iova in (0x900000, 0xA00000):
            with self.assertRaises(iommud.Refused) as caught:
                self.client.dma.read(device, iova=iova, length=1)
            self.assertEqual(caught.exception.errno, errno.EFAULT)
        events = [self.client.next_event(60), next(self.client.iterate_events())]
        self.assertEqual([event.kind for event in events], ["smmu_event"] * 2)
        self.assertEqual([event.sequence for event in events], [1, 2])
        self.assertEqual([event.body.address for event in events], [0x900000, 0xA00000])
        self.assertEqual((events[0].body.type, events[0].body.name), ("F_TRANSLATION", DEVICE))

    def test_a_callback_is_told_before_the_reply_that_follows(self):
        told = []
        with iommud.Client(self.socket, session="seen", on_event=told.append) as client:
            client.events.subscribe(kinds=["session"])
            with iommud.Client(self.socket, session="seen") as other:
                other.session.close()
            client.daemon.info()
        self.assertEqual([(event.kind, event.data["change"]) for event in told], [("session", "closed")])

    def test_no_daemon_is_said_with_its_path(self):
        with self.assertRaises(FileNotFoundError) as caught:
            iommud.Client(self.directory + "/nobody")
        self.assertIn("is iommud running?", str(caught.exception))
        self.assertIn("nobody", str(caught.exception))

    def test_a_time_limit_ends_the_connection(self):
        with iommud.Client(self.socket, timeout=0.05) as client:
            fault = client.fault.alloc().fault
            with self.assertRaises(TimeoutError) as caught:
                client.fault.read(fault, timeout_ms=60_000)
            self.assertIsInstance(caught.exception, iommud.NoReply)
            with self.assertRaises(iommud.ConnectionLost):
                client.daemon.info()

    def test_what_is_not_iommud_is_said(self):
        path = self.directory + "/other"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with iommud.Client(path) as client:
                served, _ = listener.accept()
                with served:
                    served.sendall(b"220 mail.example.org\n")
                    with self.assertRaisesRegex(iommud.ConnectionLost, "not iommud"):
                        client.daemon.info()


class SessionTests(DaemonTest):
    def cut_client(self, name, **options):
        cutter = Cutter(f"{self.directory}/{name}", self.socket)
        self.addCleanup(cutter.close)
        return cutter, self.enterContext(iommud.Client(cutter.path, session=name, **options))

    def test_a_named_session_outlives_its_connection(self):
        with iommud.Client(self.socket, session="lasting") as client:
            ioas = client.ioas.alloc().ioas
            self.assertEqual(client.session_name, "lasting")
        with iommud.Client(self.socket, session="lasting") as client:
            self.assertTrue(client.ioas.iova_ranges(ioas).ranges)
            client.session.close()

    def test_what_changes_nothing_is_asked_again_on_a_new_connection(self):
        cutter, client = self.cut_client("asking", reconnect=60)
        ioas = client.ioas.alloc().ioas
        cutter.cut_at("ioas.iova_ranges")
        self.assertTrue(client.ioas.iova_ranges(ioas).ranges)
        self.assertEqual(cutter.connections, 2)

    def test_what_may_have_been_done_is_not_done_twice(self):
        cutter, client = self.cut_client("changing", reconnect=60)
        cutter.cut_at("ioas.alloc")
        with self.assertRaises(iommud.ConnectionLost) as caught:
            client.ioas.alloc()
        self.assertTrue(caught.exception.maybe_done)
        self.assertEqual(len(client.session.objects().objects), 1)
        self.assertEqual(cutter.connections, 2)

    def test_without_being_asked_to_nothing_is_connected_again(self):
        cutter, client = self.cut_client("once")
        cutter.cut_at("daemon.info")
        with self.assertRaises(iommud.ConnectionLost):
            client.daemon.info()
        with self.assertRaises(iommud.ConnectionLost):
            client.daemon.info()
        self.assertEqual(cutter.connections, 1)

    def test_a_subscription_is_made_again_and_says_that_events_may_be_missing(self):
        cutter, client = self.cut_client("told", reconnect=60)
        client.events.subscribe(kinds=["session"])
        cutter.cut_at("daemon.info")
        client.daemon.info()
        self.assertEqual(client.next_event(60).kind, "lost")
        with iommud.Client(self.socket, session="told") as other:
            other.session.close()
        self.assertEqual(client.next_event(60).data["change"], "closed")

    def test_a_session_that_a_new_daemon_does_not_have_is_lost(self):
        directory = self.directory + "/restarted"
        os.mkdir(directory)
        with open(f"{directory}/log", "ab") as log:
            with Daemon(BINARIES, directory, ["--state", directory + "/1"], log) as daemon:
                client = self.enterContext(iommud.Client(daemon.socket, session="gone", reconnect=60))
                client.ioas.alloc()
            with Daemon(BINARIES, directory, ["--state", directory + "/2"], log):
                with self.assertRaises(iommud.SessionLost):
                    client.ioas.alloc()
                with self.assertRaises(iommud.ConnectionLost):
                    client.ioas.alloc()

    def test_a_daemon_that_does_not_come_back_is_a_lost_connection(self):
        directory = self.directory + "/ended"
        os.mkdir(directory)
        with open(f"{directory}/log", "ab") as log:
            with Daemon(BINARIES, directory, log=log) as daemon:
                client = self.enterContext(iommud.Client(daemon.socket, session="waiting", reconnect=0.1))
            with self.assertRaises(iommud.ConnectionLost):
                client.ioas.alloc()

    def test_a_private_session_cannot_be_taken_up_again(self):
        with self.assertRaises(ValueError):
            iommud.Client(self.socket, reconnect=1)


if __name__ == "__main__":
    unittest.main()
