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
