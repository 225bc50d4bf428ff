/// Moves one piece of data into, out of or within a process, in chunks; blocks as long as the process's pages take.
struct ProcessMover {
    /// What becomes of a piece.
    typealias Result = Swift.Result<UInt32?, ProcessMemory.Failure>

    let memory: ProcessMemory
    /// What is read, what is written, or what carries the chunks of the others: at least ``chunk`` bytes, and at least
    /// the piece if it is read or written.
    let buffer: UnsafeMutableRawBufferPointer
    /// Asked between two chunks: whether to go on.
    let goesOn: () -> Bool

    /// Bytes between two looks at whether it is still wanted.
    static let chunk = 256 << 10

    /// - Parameter previous: the checksum of the pieces before.
    /// - Returns: the checksum so far, if it is one; nothing of value if it was not wanted to the end.
    func move(_ piece: Piece, previous: UInt32?) -> Result {
        do throws(ProcessMemory.Failure) {
            switch piece {
            case .read(let address, let length): try read(address, length)
            case .write(let address, let length): try write(address, length)
            case .fill(let address, let length, let value): try fill(address, length, value)
            case .copy(let source, let target, let length): try copy(from: source, to: target, length)
            case .checksum(let address, let length): return .success(try checksum(address, length, previous))
            }
            return .success(nil)
        } catch {
            return .failure(recheck(error))
        }
    }

    /// A ``DeviceOperation`` whose bytes, if it has any, are in the buffer.
    enum Piece: Equatable {
        case read(UInt64, length: UInt64)
        case write(UInt64, length: UInt64)
        case fill(UInt64, length: UInt64, value: UInt8)
        case copy(from: UInt64, to: UInt64, length: UInt64)
        case checksum(UInt64, length: UInt64)

        init(_ operation: DeviceOperation) {
            self =
                switch operation {
                case .read(let address, let length): .read(address, length: length)
                case .write(let address, let bytes): .write(address, length: UInt64(bytes.count))
                case .fill(let address, let length, let value): .fill(address, length: length, value: value)
                case .copy(let source, let target, let length): .copy(from: source, to: target, length: length)
                case .checksum(let address, let length): .checksum(address, length: length)
                }
        }

        /// Bytes that have to fit into the buffer.
        var bufferedBytes: UInt64 {
            switch self {
            case .read(_, let length), .write(_, let length): length
            case .fill, .copy, .checksum: UInt64(ProcessMover.chunk)
            }
        }
    }

    /// What could not be moved because the process changed its mappings meanwhile was never permitted.
    private func recheck(_ failure: ProcessMemory.Failure) -> ProcessMemory.Failure {
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
        while done < length, goesOn() {
            let count = min(length - done, UInt64(Self.chunk))
            try body(done, Int(count))
            done += count
        }
    }

    /// So many bytes of the buffer.
    private func part(at offset: UInt64 = 0, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: buffer[Int(offset)..<Int(offset) + count])
    }

    private func read(_ address: UInt64, _ length: UInt64) throws(ProcessMemory.Failure) {
        try memory.check(address, length: length, write: false)
        try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
            try memory.read(address &+ offset, into: part(at: offset, count))
        }
    }

    private func write(_ address: UInt64, _ length: UInt64) throws(ProcessMemory.Failure) {
        try memory.check(address, length: length, write: true)
        try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
            try memory.write(address &+ offset, from: UnsafeRawBufferPointer(part(at: offset, count)))
        }
    }

    private func fill(_ address: UInt64, _ length: UInt64, _ value: UInt8) throws(ProcessMemory.Failure) {
        try memory.check(address, length: length, write: true)
        _ = part(min(Self.chunk, Int(clamping: length))).initializeMemory(as: UInt8.self, repeating: value)
        try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
            try memory.write(address &+ offset, from: UnsafeRawBufferPointer(part(count)))
        }
    }

    private func checksum(
        _ address: UInt64, _ length: UInt64, _ previous: UInt32?
    ) throws(ProcessMemory.Failure) -> UInt32 {
        try memory.check(address, length: length, write: false)
        var sum = CRC32(previous ?? 0)
        try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
            try memory.read(address &+ offset, into: part(count))
            sum.update(UnsafeRawBufferPointer(part(count)))
        }
        return sum.value
    }

    /// A piece that overlaps itself is copied from the end when the target lies behind the source.
    private func copy(
        from source: UInt64, to target: UInt64, _ length: UInt64
    ) throws(ProcessMemory.Failure) {
        try memory.check(source, length: length, write: false)
        try memory.check(target, length: length, write: true)
        let isBackward = target > source && target - source < length
        try forEachChunk(length) { (offset, count) throws(ProcessMemory.Failure) in
            let start = isBackward ? length - offset - UInt64(count) : offset
            try memory.read(source &+ start, into: part(count))
            try memory.write(target &+ start, from: UnsafeRawBufferPointer(part(count)))
        }
    }
}
