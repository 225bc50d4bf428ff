import IOMMU

/// Starts transfers of process memory for the DMA engines.
package protocol ProcessTransferring: AnyObject {
    /// Moves one piece within the address space whose pages appear at a physical address.
    ///
    /// - Parameters:
    ///   - previous: the checksum of the pieces before.
    ///   - completion: called once, later, on the owning thread.
    /// - Returns: nil if no address space is there any more.
    func begin(
        _ piece: DeviceOperation, at physicalAddress: UInt64, previous: UInt32?,
        completion: @escaping (TransferEnd) -> Void
    ) -> (any DataTransfer)?
}

/// Pages of processes that mappings use in the place of memory objects.
package protocol LentMemory: AnyObject {
    /// Bytes from a physical address on that lie in one range of a process; nil: no process is there.
    func lentBytes(at physicalAddress: UInt64) -> UInt64?
    /// Moves a piece between a device and what lies at a physical address, which is the piece's: it is one of reading
    /// or writing no more than ``lentBytes(at:)``.
    ///
    /// - Parameter completion: called once, on the owning thread: at once, or later.
    /// - Returns: what moves it, if somebody has to.
    func move(
        _ piece: DeviceOperation, completion: @escaping (LentEnd) -> Void
    ) -> (any DataTransfer)?
}

/// What came of moving a piece of ``LentMemory``.
package enum LentEnd {
    case moved([UInt8])
    /// The process has nothing there any more that permits it, so many bytes from the beginning of the piece on.
    case absent(after: UInt64)
    /// The process has it, and its page cannot be had.
    case unreachable(after: UInt64)
    case failed(IOMMUError)
}

/// Data on its way that another thread moves.
package protocol DataTransfer: AnyObject {
    /// Nothing more is moved after the present chunk.
    func cancel()
}

/// What came of a ``DataTransfer``, and so what the engine does next.
package enum TransferEnd: Sendable {
    case moved(bytes: [UInt8], checksum: UInt32?)
    /// The tables did not say what the process says; they have been put right, the access has to translate again.
    case stale
    /// The page cannot be had although the process permits it.
    case unreachable(UInt64)
    /// Nobody moves it.
    case failed(IOMMUError)
}
