import IOMMU
import IOMMUObjects

// MARK: - queue.*

extension EmulatedContext {
    /// `queue.open`: the first queue of an address space on a device binds the two.
    ///
    /// The queue works on the address space, not for a process: a child that inherits the right to use it (or whoever
    /// speaks for the session) reaches the memory of the parent, not its own copy after fork. ``queueState(_:)`` and
    /// `session.objects` say whose address space it is.
    ///
    /// - Throws: `ENODEV` without queues, `EBUSY` if all are open, and what `sva.bind` refuses.
    package func openQueue(
        device deviceID: ObjectID, mm: ObjectID
    ) throws(IOMMUError) -> (queue: ObjectID, pasid: UInt32) {
        let device = try device(deviceID)
        guard device.description.queues > 0 else {
            throw IOMMUError(
                .ENODEV, .noQueues, "device \(device.name) is no accelerator: it has no queues",
                hint: "topology.list lists accelerators under uacce",
                ["name": .text(device.name), "device": .number(UInt64(deviceID))]
            )
        }
        guard device.openQueues < device.description.queues else {
            throw IOMMUError(
                .EBUSY, .queuesInUse, "all \(device.description.queues) queues of device \(device.name) are open",
                hint: "close one with queue.close", ["name": .text(device.name), "device": .number(UInt64(deviceID))]
            )
        }
        guard sva.queues.count < limits.queues else {
            throw .overLimit(limits.queues, of: "queues", key: "queues_per_session")
        }
        try context.chargeObject()
        do throws(IOMMUError) {
            let bond = try sva.acquireBond(device, id: deviceID, to: sva.handle(mm))
            let queue = AcceleratorQueue(bond: bond)
            queue.id = sva.queues.give(.queue, backend.ledger, queue)
            bond.queues.append(queue)
            device.openQueues += 1
            return (queue.id, bond.pasid)
        } catch {
            context.releaseObject()
            throw error
        }
    }

    /// `queue.start`; `EINVAL` if it is started, `ESRCH` after the end of the mm, `ENODEV` after that of the device.
    package func startQueue(_ id: ObjectID) throws(IOMMUError) -> QueueState {
        let queue = try sva.queue(id)
        queue.bond.space.probe()
        try queue.start()
        return queue.state
    }

    /// `queue.stop`: back to "init"; nothing changes if it is not started.
    package func stopQueue(_ id: ObjectID) throws(IOMMUError) -> QueueState {
        let queue = try sva.queue(id)
        queue.bond.space.probe()
        try queue.stop()
        return queue.state
    }

    /// `queue.close`: always works.
    package func closeQueue(_ id: ObjectID) throws(IOMMUError) -> QueueState {
        let queue = try sva.queue(id)
        let state = queue.state
        queue.close()
        sva.removeQueue(id)
        return state
    }

    /// The state of a queue, and whose mm it works on.
    package func queueState(
        _ id: ObjectID
    ) throws(IOMMUError) -> (state: QueueState, mm: ObjectID, pasid: UInt32) {
        let queue = try sva.queue(id)
        queue.bond.space.probe()
        return (queue.state, queue.bond.handle.id, queue.bond.pasid)
    }

    /// `queue.submit`: DMA of the accelerator on virtual addresses of the queue's mm.
    ///
    /// - Throws: `EINVAL` in the wrong state, `ESRCH`, `ENODEV`, `EFAULT` with the event.
    package func submit(
        _ id: ObjectID, _ operation: QueueOperation, completion: @escaping (Result<SubmitResult, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<SubmitResult> {
        let queue = try sva.queue(id)
        queue.bond.space.probe()
        try queue.checkStarted()
        let work: DeviceOperation
        switch operation {
        case .copy(let source, let destination, let length):
            try checkSpan(source, length: length, limit: 1 << 30)
            try checkSpan(destination, length: length, limit: 1 << 30)
            work = .copy(from: source, to: destination, length: length)
        case .fill(let destination, let length, let value):
            try checkSpan(destination, length: length, limit: 1 << 30)
            work = .fill(destination, length: length, value: value)
        case .checksum(let source, let length):
            try checkSpan(source, length: length, limit: 1 << 30)
            work = .checksum(source, length: length)
        }
        let progress = try run(
            work, on: queue.bond.device, pasid: queue.bond.pasid,
            observer: { [weak queue] access, isRunning in
                if isRunning { queue?.add(access) } else { queue?.remove(access) }
            }
        ) { result in
            completion(result.map { SubmitResult(completed: $0.completed, checksum: $0.checksum) })
        }
        switch progress {
        case .done(let outcome): return .done(SubmitResult(completed: outcome.completed, checksum: outcome.checksum))
        case .pending(let access): return .pending(access)
        }
    }
}
