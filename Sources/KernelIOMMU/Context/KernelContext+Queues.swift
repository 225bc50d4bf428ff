import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// Queues that the kernel fills: of page faults, and of a virtual machine's events.
extension KernelContext {
    // MARK: Faults

    /// `IOMMU_FAULT_QUEUE_ALLOC`; the loop reads its descriptor from then on.
    package func allocateFaultQueue() throws(IOMMUError) -> ObjectID {
        var argument = clinux_iommu_fault_alloc()
        try make(IOMMUFD.faultQueueAlloc, &argument, descriptors: 1, Self.noDescriptor)
        let id = argument.out_fault_id
        let descriptor = QueueDescriptor(Descriptor(adopting: argument.out_fault_fd), backend.executor)
        let queue = KernelFaultQueue(id: id, descriptor, limit: store.limits.faultQueueDepth)
        do throws(SystemError) {
            try descriptor.start { [unowned self, unowned queue] in queue.take { announce($0, from: queue) } }
        } catch {
            queue.descriptor = nil
            throw undo(id, error)
        }
        enter(queue)
        return id
    }

    func announce(_ fault: PageFault, from queue: KernelFaultQueue) {
        let name = (table[fault.device] as? KernelDevice)?.name ?? ""
        emit(
            .fault(
                PageFaultEvent(
                    fault: queue.id, device: fault.device, name: name, address: fault.address, pasid: fault.pasid)))
    }

    /// What the descriptor has brought, after a look whether there is more.
    package func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault] {
        let queue = try table.object(fault, .fault, as: KernelFaultQueue.self)
        // What has come since the loop last looked.
        _ = queue.take { announce($0, from: queue) }
        return try queue.read(max: max)
    }

    /// Written to the descriptor; the kernel knows which cookies wait.
    package func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int {
        try table.object(fault, .fault, as: KernelFaultQueue.self).respond(responses)
    }

    // MARK: Virtual events

    /// `IOMMU_VEVENTQ_ALLOC`; the loop reads its descriptor from then on.
    package func allocateVEventQueue(
        viommu id: ObjectID, type: String, depth: UInt32
    ) throws(IOMMUError) -> ObjectID {
        guard depth > 0, depth <= VEventQueue.maxDepth else {
            throw IOMMUError.badDepth(depth, atMost: VEventQueue.maxDepth, viommu: id)
        }
        let viommu = try table.object(id, .viommu, as: KernelVIOMMU.self)
        guard type == "arm_smmuv3" else { throw Self.wrongType(type) }
        guard viommu.eventQueue == nil else { throw IOMMUError.eventQueueExists(of: id, depth: depth) }
        var argument = clinux_iommu_veventq_alloc()
        (argument.viommu_id, argument.type, argument.veventq_depth) = (id, Self.smmuV3Type, depth)
        try make(IOMMUFD.veventqAlloc, &argument, descriptors: 1, Self.noDescriptor)
        let descriptor = QueueDescriptor(Descriptor(adopting: argument.out_veventq_fd), backend.executor)
        let queue = KernelVEventQueue(id: argument.out_veventq_id, viommu: viommu, depth: depth, descriptor)
        do throws(SystemError) {
            try descriptor.start { [unowned self, unowned queue] in queue.take { announce($0, from: queue) } }
        } catch {
            queue.descriptor = nil
            queue.release()
            throw undo(queue.id, error)
        }
        enter(queue)
        return queue.id
    }

    func announce(_ event: VirtualEvent, from queue: KernelVEventQueue) {
        // The StreamID is the upper half of the first word.
        let stream = (event.record.first ?? 0) >> 32
        emit(
            .veventq(
                VirtualEventQueueEvent(
                    queue: queue.id, viommu: queue.viommu.id, name: queue.viommu.names[stream] ?? "",
                    isLost: event.lost)))
    }

    /// What the descriptor has brought, after a look whether there is more.
    package func readVirtualEvents(_ queue: ObjectID, max: Int) throws(IOMMUError) -> [VirtualEvent] {
        let queue = try table.object(queue, .veventq, as: KernelVEventQueue.self)
        _ = queue.take { announce($0, from: queue) }
        return queue.read(max: max)
    }

    // MARK: Failures

    private static func noDescriptor(_ errno: Errno) -> IOMMUError? {
        guard errno == .EMFILE || errno == .ENFILE else { return nil }
        return .noDescriptors
    }

    /// A queue that cannot be watched is no use; its descriptor is closed by now.
    private func undo(_ id: ObjectID, _ error: SystemError) -> IOMMUError {
        if let handle = try? handle() { try? handle.destroy(id) }
        store.releaseObject(descriptors: 1)
        return IOMMUError(
            .EIO, .kernelRefused, "the queue's descriptor cannot be watched: \(Errno.name(of: error.errno))",
            hint: "the daemon may have no memory left", ["kernel_errno": .text(Errno.name(of: error.errno))])
    }
}
