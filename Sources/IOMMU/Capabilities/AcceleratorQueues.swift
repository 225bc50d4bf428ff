/// ``Capability/acceleratorQueues``: queues of accelerators that work on the addresses of a process.
package protocol AcceleratorQueues: WaitingWork {
    /// `queue.open`: the first queue of an address space on a device binds the two.
    ///
    /// - Throws: `ENODEV` for a device without queues, `EBUSY` if all are open, `EDQUOT`, and what
    ///   ``SharedAddressing/bindSVA(device:mm:)`` refuses.
    func openQueue(device: ObjectID, mm: ObjectID) throws(IOMMUError) -> (queue: ObjectID, pasid: UInt32)
    /// `queue.start`. `ENOENT`; `EINVAL` if it is started, `ESRCH` after the end of the mm, `ENODEV` of the device.
    func startQueue(_ queue: ObjectID) throws(IOMMUError) -> QueueState
    /// `queue.stop`: back to "init"; nothing changes if it is not started. `ENOENT`, `ESRCH`, `ENODEV`.
    func stopQueue(_ queue: ObjectID) throws(IOMMUError) -> QueueState
    /// `queue.close`: always works, but for `ENOENT`. - Returns: the state that it was in.
    func closeQueue(_ queue: ObjectID) throws(IOMMUError) -> QueueState
    /// The state of a queue, and whose mm it works on; `ENOENT`.
    func queueState(_ queue: ObjectID) throws(IOMMUError) -> (state: QueueState, mm: ObjectID, pasid: UInt32)
    /// `queue.submit`: work on virtual addresses of the queue's mm.
    ///
    /// - Parameter completion: called once, later, where the answer is `pending`.
    /// - Throws: `ENOENT`; `EINVAL` in the wrong state or for a length beyond 1 GiB, `EOVERFLOW` for a range that
    ///   wraps, `ESRCH`, `ENODEV`, `EDQUOT`, `EFAULT` with `event` and `completed`.
    func submit(
        _ queue: ObjectID, _ operation: QueueOperation,
        completion: @escaping (Result<SubmitResult, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<SubmitResult>
}

/// The life of a queue.
package enum QueueState: String, Sendable, CaseIterable {
    case initial = "init"
    case started
    /// Its address space or its device has gone.
    case zombie
}

/// What an accelerator can be asked to do; lengths are in bytes.
package enum QueueOperation: Sendable, Equatable {
    case copy(source: UInt64, destination: UInt64, length: UInt64)
    case fill(destination: UInt64, length: UInt64, value: UInt8)
    /// CRC-32 as in zlib.
    case checksum(source: UInt64, length: UInt64)
}

/// What came of a ``QueueOperation``.
package struct SubmitResult: Sendable, Equatable {
    /// Bytes.
    package var completed: UInt64
    /// Only of ``QueueOperation/checksum(source:length:)``.
    package var checksum: UInt32?

    /// With these properties.
    package init(completed: UInt64, checksum: UInt32?) {
        self.completed = completed
        self.checksum = checksum
    }
}
