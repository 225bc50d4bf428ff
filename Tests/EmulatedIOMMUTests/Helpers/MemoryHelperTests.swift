import CLinux
import Glibc
import IOMMU
import LinuxIO
import TestSupport
import Testing

@testable import EmulatedIOMMU

/// The helper's side of the pipe, on a thread of this process.
@Suite struct MemoryHelperTests {
    /// A helper, and the daemon's end of its pipe.
    private final class Setting {
        let socket: PacketSocket
        let buffer: HelperBuffer
        /// What serve() said.
        let end = Handover<Bool>()

        init() throws {
            let file = try HelperBuffer.make()
            buffer = try HelperBuffer(mapping: file)
            var other: Descriptor?
            socket = try PacketSocket(pairedWith: &other)
            // This side waits, too.
            _ = fcntl(socket.descriptor.number, F_SETFL, 0)
            guard let far = other.take() else { throw SystemError(errno: EBADF, "socketpair") }
            let number = far.take()
            let copy = try file.duplicate().take()
            let end = end
            try startThread {
                guard let buffer = try? HelperBuffer(mapping: Descriptor(adopting: copy)) else { return end.put(nil) }
                let socket = PacketSocket(adopting: Descriptor(adopting: number))
                end.put(MemoryHelper(socket: socket, buffer: buffer).serve())
            }
        }

        func ask(_ work: HelperRequest.Work, _ descriptors: [Int32] = []) throws -> HelperReply.Result? {
            let request = HelperRequest(number: 5, uid: 0, isWritable: true, hasQuery: true, work: work)
            try socket.send(request.bytes, with: descriptors)
            guard let packet = try socket.receive(atMost: HelperReply.largest) else { return nil }
            let reply = HelperReply(packet.bytes[...])
            #expect(reply?.number == 5 && packet.descriptorCount == reply?.descriptors)
            return reply?.result
        }
    }

    /// This process's own files.
    private func withFiles(_ body: ([Int32]) throws -> Void) throws {
        let (mem, maps) = (open("/proc/self/mem", O_RDWR), open("/proc/self/maps", O_RDONLY))
        defer { for descriptor in [mem, maps] { close(descriptor) } }
        try body([mem, maps])
    }

    @Test func itMovesThroughTheBuffer() throws {
        let setting = try Setting()
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { bytes.deallocate() }
        bytes.initializeMemory(as: UInt8.self, repeating: 3)
        let address = UInt64(UInt(bitPattern: bytes.baseAddress))
        try withFiles { files in
            guard case .opened(let pid, let layout, let facts) = try setting.ask(.openFiles, files) else {
                return #expect(Bool(false), "opened")
            }
            #expect(pid == getpid() && layout.seed != 0 && facts.isWritable)
            guard case .moved = try setting.ask(.move(.read(address, length: 1 << 20), previous: nil), files) else {
                return #expect(Bool(false), "read")
            }
            #expect(setting.buffer.data.allSatisfy { $0 == 3 })
            setting.buffer.data[7] = 9
            _ = try setting.ask(.move(.write(address, length: 8), previous: nil), files)
            #expect(bytes[7] == 9 && bytes[8] == 3)
            guard case .touched(let area) = try setting.ask(.touch(address, write: true), files) else {
                return #expect(Bool(false), "touched")
            }
            #expect(area.start <= address && area.end > address)
            guard case .failed(.denied(0)) = try setting.ask(.move(.read(0, length: 1), previous: nil), files) else {
                return #expect(Bool(false), "nothing is there")
            }
            guard case .moved = try setting.ask(.check(address, length: 1 << 20, [.read, .write]), files),
                case .failed(.unreachable(0)) = try setting.ask(.check(0, length: 1, .read), files)
            else { return #expect(Bool(false), "checked") }
            guard case .compared([0]) = try setting.ask(.compare(getpid(), others: [getpid()])) else {
                return #expect(Bool(false), "the same")
            }
            guard case .probed([true, true]) = try setting.ask(.probe(count: 2), [files[0], files[0]]) else {
                return #expect(Bool(false), "alive")
            }
        }
    }

    /// What it is not told to go on with is not moved, and what it has moved shows.
    @Test func itStopsWhenItIsTold() throws {
        let setting = try Setting()
        let before = setting.buffer.progress
        setting.buffer.cancelled = 5
        var byte: UInt8 = 1
        try withFiles { files in
            try withUnsafeBytes(of: &byte) { bytes in
                let address = UInt64(UInt(bitPattern: bytes.baseAddress))
                _ = try setting.ask(.move(.fill(address, length: 1, value: 2), previous: nil), files)
            }
        }
        #expect(byte == 1 && setting.buffer.progress > before)
    }

    @Test func itEndsWithThePipeAndAfterNonsense() throws {
        do {
            let setting = try Setting()
            let end = setting.end
            shutdown(setting.socket.descriptor.number, Int32(SHUT_RDWR))
            #expect(end.wait() == true)
        }
        for (bytes, count) in [([1, 2, 3], 0), (HelperRequest(number: 1, uid: 0, work: .openFiles).bytes, 1)] {
            let setting = try Setting()
            try setting.socket.send(bytes, with: [Int32](repeating: 2, count: count))
            #expect(setting.end.wait() == false)
        }
    }

    @Test func itsNameFits() {
        #expect(MemoryHelper.name(of: 0) == "iommud-00000000")
        #expect(MemoryHelper.name(of: .max) == "iommud-ffffffff")
        #expect(MemoryHelper.name(of: .max).utf8.count == 15)
    }
}

/// Runs something on a thread of its own.
private func startThread(_ body: @escaping @Sendable () -> Void) throws {
    final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(body)).toOpaque()
    let failure = pthread_create(
        &thread, nil,
        { argument in
            if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, work)
    try #require(failure == 0)
    pthread_detach(thread)
}
