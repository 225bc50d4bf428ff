import CLinux
import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// Refusals of memory and processes that come with descriptors.
@Suite struct DescriptorRefusalTests {
    /// A memfd of that many bytes.
    private func memfd(_ size: Int) throws -> Int32 {
        let descriptor = clinux_memfd_create("test", false)
        try #require(descriptor >= 0 && ftruncate(descriptor, off_t(size)) == 0)
        return descriptor
    }

    /// The same file, opened again with other rights.
    private func reopened(_ descriptor: Int32, _ flags: Int32) throws -> Int32 {
        defer { close(descriptor) }
        let again = open("/proc/self/fd/\(descriptor)", flags)
        try #require(again >= 0)
        return again
    }

    private func give(_ client: PlayedClient, _ descriptor: Int32) {
        client.connection.receive(Descriptor(adopting: descriptor), with: 0..<1)
    }

    @Test func importedMemory() throws {
        let bench = try ServiceBench { $0.limits.memoryObjectBytes = 1 << 20 }
        let client = try bench.connect()
        func refused(_ descriptor: Int32, _ expected: String) throws {
            give(client, descriptor)
            try bench.run("> memory.import {} \(expected)", on: client)
        }
        try refused(try memfd(0), "EINVAL empty_memory")
        try refused(try reopened(try memfd(4096), O_WRONLY), "EINVAL not_readable")
        try refused(open("/dev/null", O_RDWR), "EINVAL not_a_memfd")
        try refused(try memfd(2 << 20), "EFBIG memory_too_large")
        give(client, try reopened(try memfd(4096), O_RDONLY))
        let shrinking = try memfd(4096)
        try bench.run(
            """
            memory.import {}
            > memory.write {"memory":1,"data":"AAAA"} EPERM memory_read_only
            vsmmu.create {}
            > vsmmu.save {"vsmmu":1,"memory":1} EPERM memory_read_only
            ioas.alloc {}
            > ioas.map {"ioas":1,"memory":1,"length":4096} EPERM memory_not_writable
            > ioas.map_many {"ioas":1,"mappings":[{"memory":1,"length":4096}]} EPERM memory_not_writable
            mm.create {}
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096} EPERM memory_read_only
            """, on: client)
        give(client, dup(shrinking))
        try bench.run("memory.import {}", on: client)
        ftruncate(shrinking, 0)
        close(shrinking)
        try bench.run(
            """
            > memory.read {"memory":2,"length":1} EIO memory_truncated
            > memory.write {"memory":2,"data":"AAAA"} EIO memory_truncated
            > vsmmu.save {"vsmmu":1,"memory":2} EIO memory_truncated
            > vsmmu.load {"vsmmu":1,"memory":2} EIO memory_truncated
            """, on: client)
        let full = try ServiceBench { $0.limits.objectsPerSession = 0 }
        let other = try full.connect()
        give(other, try memfd(4096))
        try full.run("> memory.import {} EDQUOT quota_exceeded", on: other)
    }

    @Test func roomForMemory() throws {
        let bench = try ServiceBench {
            $0.limits.memoryBytes = 1 << 50
            $0.limits.memoryObjectBytes = 1 << 44
        }
        let client = try bench.connect()
        try bench.run(
            """
            > memory.create {"size":"0x20000000000","huge":true} ENOMEM no_huge_pages
            > memory.create {"size":"0xf0000000000"} ENOMEM no_physical_space
            """, on: client)
        give(client, try memfd(0xf00_0000_0000))
        try bench.run("> memory.import {} ENOMEM no_physical_space", on: client)
    }

    @Test func processes() throws {
        let bench = try ServiceBench()
        let client = try bench.connect()
        try bench.run(
            """
            mm.open {"pid":\(getpid())}
            memory.create {"size":4096}
            > mm.map {"mm":1,"va":0,"memory":1,"length":4096} EINVAL mm_of_process
            > mm.unmap {"mm":1,"va":0,"length":4096} EINVAL mm_of_process
            > mm.exit {"mm":1} EINVAL mm_of_process
            > mm.open {"pid":2147483647} ESRCH no_such_process
            """, on: client)
        for _ in 0..<2 { give(client, open("/dev/null", O_RDONLY)) }
        try bench.run("> mm.open {} EINVAL not_mem_and_maps", on: client)
        try ServiceBench { $0.limits.objectsPerSession = 0 }.run(
            "> mm.open {\"pid\":\(getpid())} EDQUOT quota_exceeded")
        let stranger = try bench.connect(uid: 54_321)
        try bench.run("> mm.open {\"pid\":\(getpid())} EPERM not_same_user", on: stranger)
    }
}
