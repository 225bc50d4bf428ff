"""The client for asyncio against a daemon."""
import asyncio
import errno
import os
import unittest

import iommud
from support import DEVICE, Cutter, DaemonTest


class AsyncTests(DaemonTest, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # The daemon starts no faster because it is waited for.
        asyncio.get_running_loop().slow_callback_duration = 60
        self.client = await self.enterAsyncContext(iommud.AsyncClient(self.socket))

    async def test_a_device_writes_into_memory_that_came_by_descriptor(self):
        memory = os.memfd_create("test")
        self.addCleanup(os.close, memory)
        os.ftruncate(memory, 0x1000)
        imported, ioas, bound = await asyncio.gather(
            self.client.memory.import_(memory), self.client.ioas.alloc(), self.client.device.bind(DEVICE)
        )
        await self.client.ioas.map(ioas.ioas, memory=imported.memory, length=0x1000, iova=0x10000)
        await self.client.device.attach(bound.device, pt=ioas.ioas)
        await self.client.dma.write(bound.device, iova=0x10000, data=b"hello")
        self.assertEqual(os.pread(memory, 5, 0), b"hello")
        exported = (await self.client.memory.export(imported.memory)).fds
        self.assertEqual(os.pread(exported[0], 5, 0), b"hello")
        os.close(exported[0])

    async def test_many_calls_at_once_keep_their_replies_and_descriptors(self):
        sizes = [0x1000 * (1 + n % 7) for n in range(300)]
        made = [os.memfd_create("test") for _ in sizes]
        for descriptor, size in zip(made, sizes):
            self.addCleanup(os.close, descriptor)
            os.ftruncate(descriptor, size)
        replies = await asyncio.gather(*(self.client.memory.import_(descriptor) for descriptor in made))
        self.assertEqual([reply.size for reply in replies], sizes)
        self.assertEqual([reply.memory for reply in replies], list(range(1, 301)))

    async def test_more_than_the_socket_holds_goes_out_in_parts(self):
        memory = (await self.client.memory.create(0x100000)).memory
        data = bytes(range(256)) * 0x800
        writes = (self.client.memory.write(memory, data=data) for _ in range(8))
        self.assertEqual([reply.written for reply in await asyncio.gather(*writes)], [len(data)] * 8)
        self.assertEqual((await self.client.memory.read(memory, length=len(data))).data, data)

    async def test_a_refusal_is_the_callers_alone(self):
        refused, info = await asyncio.gather(
            self.client.ioas.iova_ranges(77), self.client.daemon.info(), return_exceptions=True
        )
        self.assertEqual((refused.errno, refused.reason), (errno.ENOENT, "unknown_ioas"))
        self.assertEqual(info.name, "iommud")

    async def test_a_call_that_is_cancelled_leaves_the_others(self):
        fault = (await self.client.fault.alloc()).fault
        waiting = asyncio.ensure_future(self.client.fault.read(fault, timeout_ms=50))
        behind = asyncio.ensure_future(self.client.daemon.info())
        await asyncio.wait({waiting}, timeout=0)
        waiting.cancel()
        self.assertEqual((await behind).name, "iommud")
        self.assertTrue(waiting.cancelled())

    async def test_events_come_between_replies(self):
        device = (await self.client.device.bind(DEVICE)).device
        ioas = (await self.client.ioas.alloc()).ioas
        await self.client.device.attach(device, pt=ioas)
        await self.client.events.subscribe(kinds=["smmu_event"])
        waiting = asyncio.ensure_future(self.client.next_event())
        with self.assertRaises(iommud.Refused):
            await self.client.dma.read(device, iova=0x900000, length=1)
        event = await waiting
        self.assertEqual((event.kind, event.data["address"]), ("smmu_event", "0x900000"))

    async def test_a_connection_that_was_cut_is_made_again(self):
        cutter = Cutter(self.directory + "/cutter", self.socket)
        self.addCleanup(cutter.close)
        async with iommud.AsyncClient(cutter.path, session="cut", reconnect=60) as client:
            ioas = (await client.ioas.alloc()).ioas
            await client.events.subscribe(kinds=["session"])
            cutter.cut_at("ioas.iova_ranges")
            self.assertTrue((await client.ioas.iova_ranges(ioas)).ranges)
            self.assertEqual((await client.next_event()).kind, "lost")
            cutter.cut_at("ioas.alloc")
            with self.assertRaises(iommud.ConnectionLost) as caught:
                await client.ioas.alloc()
            self.assertTrue(caught.exception.maybe_done)
            self.assertEqual(len((await client.session.objects()).objects), 2)
            await client.session.close()

    async def test_a_client_that_was_closed_says_so(self):
        fault = (await self.client.fault.alloc()).fault
        waiting = asyncio.ensure_future(self.client.fault.read(fault, timeout_ms=60_000))
        await asyncio.wait({waiting}, timeout=0)
        await self.client.close()
        with self.assertRaises(iommud.ConnectionLost):
            await waiting
        with self.assertRaises(iommud.ConnectionLost):
            await self.client.daemon.info()


if __name__ == "__main__":
    unittest.main()
