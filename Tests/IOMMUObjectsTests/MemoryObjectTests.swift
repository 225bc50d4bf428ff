import CLinux
import Glibc
import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

@Suite struct MemoryObjectTests {
    private func memfd(bytes: Int, seals: Int32 = 0) throws -> Int32 {
        let descriptor = clinux_memfd_create("test", false)
        try #require(descriptor >= 0)
        try #require(ftruncate(descriptor, bytes) == 0)
        try #require(seals == 0 || clinux_add_seals(descriptor, seals) == 0)
        return descriptor
    }

    private func bytes(_ object: MemoryObject, at offset: UInt64, count: Int) throws -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        try result.withUnsafeMutableBytes { try object.read(offset: offset, into: $0) }
        return result
    }

    @Test(arguments: [0, CLINUX_SEAL_SHRINK])
    func clientAndDaemonSeeTheSameBytes(seals: Int32) throws {
        let descriptor = try memfd(bytes: 8192, seals: seals)
        let mirror = dup(descriptor)
        defer { close(mirror) }
        let object = try MemoryObject.importing(owned(descriptor), name: nil)
        #expect(object.isWritable)
        #expect((object.pointer != nil) == (seals != 0))
        try [1, 2, 3].withUnsafeBytes {
            try object.write(offset: 4095, from: UnsafeRawBufferPointer(rebasing: $0[..<1]))
        }
        var seen: UInt8 = 0
        #expect(pread(mirror, &seen, 1, 4095) == 1)
        #expect(seen == 1)
        seen = 77
        #expect(pwrite(mirror, &seen, 1, 8191) == 1)
        #expect(try bytes(object, at: 8191, count: 1) == [77])
        #expect(object.load64(offset: 8184) == 77 << 56)
        #expect(object.compareExchange64(offset: 8184, expected: 77 << 56, desired: 5) == true)
        #expect(object.compareExchange64(offset: 8184, expected: 77 << 56, desired: 6) == false)
        #expect(object.load64(offset: 8192) == nil)
        #expect(object.load64(offset: .max - 7) == nil)
    }

    @Test func truncationNeverKillsTheDaemon() throws {
        let descriptor = try memfd(bytes: 8192)
        let mirror = dup(descriptor)
        defer { close(mirror) }
        let object = try MemoryObject.importing(owned(descriptor), name: nil)
        try #require(ftruncate(mirror, 4096) == 0)
        #expect(object.load64(offset: 4096) == nil)
        #expect(!object.store64(offset: 4096, 1))
        let error = #expect(throws: IOMMUError.self) { _ = try bytes(object, at: 4000, count: 200) }
        #expect(error?.errno == .EIO)
        var status = stat()
        #expect(fstat(mirror, &status) == 0)
        #expect(status.st_size == 4096, "a write behind the end must not grow the file again")
    }

    @Test func onlyMemfdsAreImported() throws {
        var pipes: [Int32] = [0, 0]
        try #require(pipe(&pipes) == 0)
        defer { close(pipes[1]) }
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let file = open("/dev/shm", O_TMPFILE_RDWR, 0o600)
        let device = open("/dev/zero", O_RDWR)
        for descriptor in [pipes[0], socket, file, device, 9999] {
            let error = #expect(throws: IOMMUError.self) {
                _ = try MemoryObject.importing(owned(descriptor), name: nil)
            }
            #expect(error?.errno == .EINVAL)
            #expect(error?.reason == .notAMemfd)
        }
        var writer = pollfd(fd: pipes[1], events: 0, revents: 0)
        #expect(poll(&writer, 1, 0) == 1 && writer.revents & Int16(POLLERR) != 0, "a refused descriptor is closed")
        let empty = try memfd(bytes: 0)
        #expect(throws: IOMMUError.self) { _ = try MemoryObject.importing(owned(empty), name: nil) }
    }

    /// O_TMPFILE | O_RDWR: an unlinked file on a mounted tmpfs, which answers to F_GET_SEALS like a memfd.
    private var O_TMPFILE_RDWR: Int32 { 0o20000000 | O_DIRECTORY | O_RDWR }

    @Test func whatTheDescriptorMayNotDoNobodyMay() throws {
        let original = try memfd(bytes: 4096)
        let readOnly = open("/proc/self/fd/\(original)", O_RDONLY)
        let writeOnly = open("/proc/self/fd/\(original)", O_WRONLY)
        close(original)
        let sealed = try memfd(bytes: 4096, seals: CLINUX_SEAL_SHRINK | CLINUX_SEAL_WRITE)
        for descriptor in [readOnly, sealed] {
            let object = try MemoryObject.importing(owned(descriptor), name: nil)
            #expect(!object.isWritable)
            #expect(object.load64(offset: 0) == 0)
            #expect(!object.store64(offset: 0, 1))
            #expect(object.compareExchange64(offset: 0, expected: 0, desired: 1) == nil)
            let error = #expect(throws: IOMMUError.self) {
                try [UInt8(1)].withUnsafeBytes { try object.write(offset: 0, from: $0) }
            }
            #expect(error?.errno == .EPERM)
        }
        #expect(throws: IOMMUError.self) { _ = try MemoryObject.importing(owned(writeOnly), name: nil) }
    }

    @Test func createdMemoryCannotChangeItsSize() throws {
        let object = try MemoryObject.creating(size: 12288, name: "ram", huge: false)
        let copy = try object.duplicateDescriptor()
        #expect(ftruncate(copy.number, 4096) == -1)
        #expect(ftruncate(copy.number, 1 << 20) == -1)
        #expect(object.pointer != nil)
        #expect(throws: IOMMUError.self) { _ = try MemoryObject.creating(size: 0, name: nil, huge: false) }
        #expect(throws: IOMMUError.self) { _ = try MemoryObject.creating(size: .max, name: nil, huge: false) }
        #expect(throws: IOMMUError.self) { _ = try MemoryObject.creating(size: 4096, name: nil, huge: true) }
    }

    /// Only where the administrator has set huge pages aside.
    private static var hasFreeHugePages: Bool {
        guard let file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 32)
        return fgets(&line, Int32(line.count), file) != nil && atol(line) >= 2
    }

    /// hugetlbfs has no write(2), and its pages can be missing when they are touched.
    @Test(.enabled(if: hasFreeHugePages)) func hugePagesAreWrittenThroughTheKernel() throws {
        let object = try MemoryObject.creating(size: 2 << 20, name: nil, huge: true)
        #expect(object.isHuge && object.pointer == nil)
        #expect(object.store64(offset: 4096, 77))
        #expect(object.load64(offset: 4096) == 77)
        #expect(object.compareExchange64(offset: 4096, expected: 77, desired: 78) == true)
        let copy = try MemoryObject.importing(try object.duplicateDescriptor(), name: nil)
        #expect(copy.isHuge && copy.load64(offset: 4096) == 78)
        let shrinkable = clinux_memfd_create("huge", true)
        let mirror = dup(shrinkable)
        defer { close(mirror) }
        try #require(ftruncate(shrinkable, 2 << 20) == 0)
        let foreign = try MemoryObject.importing(owned(shrinkable), name: nil)
        #expect(foreign.store64(offset: 0, 1))
        try #require(ftruncate(mirror, 0) == 0)
        #expect(!foreign.store64(offset: 0, 2), "no SIGBUS")
        #expect(foreign.load64(offset: 0) == nil)
    }
}
