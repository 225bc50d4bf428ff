import Synchronization

/// One piece of data on its way into or out of a process, on a worker.
package final class ProcessTransfer: DataTransfer, Sendable {
    private let isCancelled = Atomic<Bool>(false)
    /// Bytes between two looks at cancellation.
    private static let chunk = 128 << 10

    init() {}

    /// Nothing more is moved after the present chunk.
    package func cancel() { isCancelled.store(true, ordering: .relaxed) }

    /// Moves the piece; blocks as long as the process's pages take.
    func run(
        _ piece: DeviceOperation, in memory: ProcessMemory, previous: UInt32?
    ) -> Result<(bytes: [UInt8], checksum: UInt32?), ProcessMemory.Failure> {
        do throws(ProcessMemory.Failure) {
            switch piece {
            case .read(let address, let length):
                return .success((try read(address, length, in: memory), nil))
            case .write(let address, let bytes):
                try write(address, bytes, in: memory)
            case .fill(let address, let length, let value):
                try fill(address, length, value, in: memory)
            case .copy(let source, let target, let length):
                try copy(from: source, to: target, length, in: memory)
            case .checksum(let address, let length):
                return .success(([], try checksum(address, length, in: memory, previous: previous)))
            }
            return .success(([], nil))
        } catch {
            return .failure(recheck(error, piece, in: memory))
        }
    }

    /// What could not be moved because the process changed its mappings meanwhile was never permitted.
    private func recheck(
        _ failure: ProcessMemory.Failure, _ piece: DeviceOperation, in memory: ProcessMemory
    ) -> ProcessMemory.Failure {
        guard case .unreachable(let address) = failure else { return failure }
        do throws(ProcessMemory.Failure) {
            guard let area = try memory.area(at: address), area.isReadable || area.isWritable else {
                return .denied(address)
            }
            return failure
        } catch {
            return error
        }
    }

    private func forEachChunk(
        _ length: UInt64, _ body: (_ offset: UInt64, _ count: Int) throws(ProcessMemory.Failure) -> Void
    ) throws(ProcessMemory.Failure) {
        var done: UInt64 = 0
        while done < length, !isCancelled.load(ordering: .relaxed) {
            let count = min(length - done, UInt64(Self.chunk))
            try body(done, Int(count))
            done += count
        }
    }

    private func read(
        _ address: UInt64, _ length: UInt64, in memory: ProcessMemory
    ) throws(ProcessMemory.Failure) -> [UInt8] {
        try memory.check(address, length: length, write: false)
        var bytes = [UInt8](repeating: 0, count: Int(length))
        var failure: ProcessMemory.Failure?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(ProcessMemory.Failure) {
                try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
                    let part = buffer[Int(offset)..<Int(offset) + count]
                    try memory.read(address &+ offset, into: UnsafeMutableRawBufferPointer(rebasing: part))
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    private func write(_ address: UInt64, _ bytes: [UInt8], in memory: ProcessMemory) throws(ProcessMemory.Failure) {
        try memory.check(address, length: UInt64(bytes.count), write: true)
        var failure: ProcessMemory.Failure?
        bytes.withUnsafeBytes { buffer in
            do throws(ProcessMemory.Failure) {
                try forEachChunk(UInt64(buffer.count)) { (offset, count) throws(ProcessMemory.Failure) in
                    let part = buffer[Int(offset)..<Int(offset) + count]
                    try memory.write(address &+ offset, from: UnsafeRawBufferPointer(rebasing: part))
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func fill(
        _ address: UInt64, _ length: UInt64, _ value: UInt8, in memory: ProcessMemory
    ) throws(ProcessMemory.Failure) {
        try memory.check(address, length: length, write: true)
        try withBuffer { (buffer) throws(ProcessMemory.Failure) in
            _ = buffer.initializeMemory(as: UInt8.self, repeating: value)
            try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
                try memory.write(address &+ offset, from: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }

    private func checksum(
        _ address: UInt64, _ length: UInt64, in memory: ProcessMemory, previous: UInt32?
    ) throws(ProcessMemory.Failure) -> UInt32 {
        try memory.check(address, length: length, write: false)
        var sum = CRC32(previous ?? 0)
        try withBuffer { (buffer) throws(ProcessMemory.Failure) in
            try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                try memory.read(address &+ offset, into: part)
                sum.update(UnsafeRawBufferPointer(part))
            }
        }
        return sum.value
    }

    /// A piece that overlaps itself is copied from the end when the target lies behind the source.
    private func copy(
        from source: UInt64, to target: UInt64, _ length: UInt64, in memory: ProcessMemory
    ) throws(ProcessMemory.Failure) {
        try memory.check(source, length: length, write: false)
        try memory.check(target, length: length, write: true)
        let isBackward = target > source && target - source < length
        try withBuffer { (buffer) throws(ProcessMemory.Failure) in
            try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
                let start = isBackward ? length - offset - UInt64(count) : offset
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                try memory.read(source &+ start, into: part)
                try memory.write(target &+ start, from: UnsafeRawBufferPointer(part))
            }
        }
    }

    private func withBuffer(
        _ body: (UnsafeMutableRawBufferPointer) throws(ProcessMemory.Failure) -> Void
    ) throws(ProcessMemory.Failure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.chunk, alignment: 4096)
        defer { buffer.deallocate() }
        try body(buffer)
    }
}
