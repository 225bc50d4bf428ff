import IOMMU

/// A queue of an accelerator that works on the addresses of one address space.
package final class AcceleratorQueue {
    /// What its session calls it; 0 before it has a name.
    package internal(set) var id: ObjectID = 0
    let bond: Bond
    /// Initial, started and back, or a zombie for good.
    package private(set) var state = QueueState.initial
    /// Why it is a zombie.
    private var cause: IOMMUError?
    private var running: [ObjectIdentifier: DeviceAccess] = [:]

    init(bond: Bond) { self.bond = bond }

    /// - Throws: why it is a zombie.
    func check() throws(IOMMUError) {
        if let cause { throw cause.with("queue", .number(UInt64(id))) }
    }

    /// - Throws: `EINVAL` if it has been started.
    func start() throws(IOMMUError) {
        try check()
        guard state == .initial else {
            throw IOMMUError(
                .EINVAL, .queueStarted, "queue \(id) has been started", hint: "call queue.stop first",
                ["queue": .number(UInt64(id))]
            )
        }
        state = .started
    }

    /// Ends what runs; nothing changes if it is not started.
    func stop() throws(IOMMUError) {
        try check()
        guard state == .started else { return }
        state = .initial
        cancel(.queueStopped)
    }

    /// - Throws: `EINVAL` if it is not started.
    func checkStarted() throws(IOMMUError) {
        try check()
        guard state == .started else {
            throw IOMMUError(
                .EINVAL, .queueNotStarted, "queue \(id) has not been started", hint: "call queue.start first",
                ["queue": .number(UInt64(id))]
            )
        }
    }

    /// Its address space or device is gone for good; the handle stays.
    ///
    /// A device that goes after the address space is what later calls hear of: they answer ENODEV from then on.
    func kill(_ error: IOMMUError) {
        guard state != .zombie else {
            if error.errno == .ENODEV { cause = error }
            return
        }
        state = .zombie
        cause = error
        cancel(error)
        bond.session.announce(self, reason: error.reason)
    }

    /// The handle goes as well.
    func close() {
        state = .zombie
        cancel(.queueStopped)
    }

    func add(_ access: DeviceAccess) { running[ObjectIdentifier(access)] = access }
    func remove(_ access: DeviceAccess) { running[ObjectIdentifier(access)] = nil }

    private func cancel(_ error: IOMMUError) {
        let accesses = running.values
        running = [:]
        for access in accesses { bond.device.smmu.engine.terminate(access, with: error) }
    }
}
