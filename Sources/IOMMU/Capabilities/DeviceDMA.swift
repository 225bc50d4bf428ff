/// Work that can wait for a page fault to be answered, or for another process.
package protocol WaitingWork: AnyObject {
    /// Ends what a call that answered `pending` waits for: its completion gets `error`, at once. An id of work that has
    /// ended already changes nothing.
    func terminate(access: AccessID, with error: IOMMUError)
}

/// ``Capability/deviceDMA``: has devices of a session read and write memory, through the whole IOMMU.
package protocol DeviceDMA: WaitingWork {
    /// `dma.read`: what the device reads.
    ///
    /// - Parameters:
    ///   - pasid: 20 bits; nil: a transaction without one.
    ///   - length: bytes, 1 to ``ContextLimits/transfer``.
    ///   - completion: called once, later, where the answer is `pending`.
    /// - Throws: `ENOENT` for an unknown device, `ENODEV` once it is unplugged, `EINVAL` for the length or the PASID,
    ///   `EOVERFLOW` for a range that wraps, `EDQUOT` where too much waits, `EFAULT` with `event`, or with the reason
    ///   why there is none.
    func dmaRead(
        device: ObjectID, pasid: UInt32?, iova: UInt64, length: UInt64,
        completion: @escaping (Result<[UInt8], IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<[UInt8]>

    /// `dma.write`: as ``dmaRead(device:pasid:iova:length:completion:)``. - Returns: bytes written, all of them.
    func dmaWrite(
        device: ObjectID, pasid: UInt32?, iova: UInt64, bytes: [UInt8],
        completion: @escaping (Result<UInt64, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<UInt64>
}
