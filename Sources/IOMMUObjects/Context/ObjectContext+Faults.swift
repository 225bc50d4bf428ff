import IOMMU

extension ObjectContext {
    /// `IOMMU_FAULT_QUEUE_ALLOC`. `EDQUOT`.
    package func allocateFaultQueue() throws(IOMMUError) -> ObjectID {
        try chargeObject()
        let queue = FaultQueue(depth: limits.faultQueueDepth)
        enter(queue)
        return queue.id
    }

    /// Whole groups of faults, at most `max` faults. `ENOENT`; `EINVAL` if not even the first group fits.
    package func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault] {
        try table.object(fault, .fault, as: FaultQueue.self).read(max: max)
    }

    /// Answers faults in order. `ENOENT`; `EINVAL` for an unknown cookie, with `handled`: those before it are answered.
    package func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int {
        let queue = try table.object(fault, .fault, as: FaultQueue.self)
        // What was answered goes on, also where a later response is refused.
        defer { registry.host.faultsAnswered() }
        return try queue.respond(responses)
    }
}
