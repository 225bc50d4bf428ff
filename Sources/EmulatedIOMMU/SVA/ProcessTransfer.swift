import Synchronization

/// One piece of data on its way into or out of a process, on a worker.
final class ProcessTransfer: DataTransfer, Sendable {
    private let isCancelled = Atomic<Bool>(false)

    /// Nothing more is moved after the present chunk.
    func cancel() { isCancelled.store(true, ordering: .relaxed) }

    /// Moves the piece; blocks as long as the process's pages take.
    func run(
        _ operation: DeviceOperation, in memory: ProcessMemory, previous: UInt32?
    ) -> Result<MovedData, ProcessMemory.Failure> {
        let piece = ProcessMover.Piece(operation)
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(Int(clamping: piece.bufferedBytes), ProcessMover.chunk), alignment: 4096)
        defer { buffer.deallocate() }
        if case .write(_, let bytes) = operation { buffer.copyBytes(from: bytes) }
        let mover = ProcessMover(memory: memory, buffer: buffer) { !self.isCancelled.load(ordering: .relaxed) }
        return mover.move(piece, previous: previous).map { checksum in
            guard case .read(_, let length) = operation else { return MovedData(checksum: checksum) }
            return MovedData(bytes: Array(buffer[..<Int(length)]))
        }
    }
}
