import IOMMU

extension ObjectContext {
    package func allocateFaultQueue() throws(IOMMUError) -> ObjectID {
        try chargeObject()
        let queue = FaultQueue(depth: limits.faultQueueDepth)
        table.insert(queue)
        return queue.id
    }

    package func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault] {
        try table.object(fault, .fault, as: FaultQueue.self).read(max: max)
    }

    package func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int {
        let queue = try table.object(fault, .fault, as: FaultQueue.self)
        // What was answered goes on, also where a later response is refused.
        defer { registry.host.faultsAnswered() }
        return try queue.respond(responses)
    }
}
