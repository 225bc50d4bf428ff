import IOMMU
import IOMMUObjects
import LinuxIO

/// What has a descriptor of its own, which somebody has kept.
extension KernelContext {
    /// As the system describes it, or only its name where it has gone.
    func machineDevice(named name: String, group: UInt32? = nil) -> MachineDevice {
        if let device = backend.inventory.device(named: name) { return device }
        var facts = TopologyState.Device(name: name)
        facts.group = group
        return MachineDevice(facts)
    }

    /// A device that is bound.
    func enterDevice(_ name: String, _ give: (UInt64) -> Descriptor?) throws(IOMMUError) {
        guard let value = ledger.next(.object), let id = ObjectID(exactly: value) else { throw Self.lost(name) }
        let group = ledger.next(.group).map { UInt32(truncatingIfNeeded: $0) }
        let parts = ledger.all(.part).map { UInt32(truncatingIfNeeded: $0) }
        let file = ledger.next(.file)
        let handle = try handle()
        let door = backend.inventory.door(ofDevice: name) ?? VFIODoor(path: name)
        guard let bound = door.rebind(id, to: handle, file.flatMap { give($0) }, parts: parts) else {
            throw Self.lost("device \(name)")
        }
        try store.chargeObject(descriptors: 1)
        let bits = (try? handle.hardwareInfo(device: id))?.maxPASIDLog2 ?? 0
        let device = KernelDevice(bound, name: name, group: group, pasidBits: bits)
        device.isRemoved = backend.inventory.device(named: name) == nil
        table.insert(device)
        backend.holdings.take(machineDevice(named: name, group: group), by: self)
    }

    /// Without its descriptor it is there for the tables that use it, and brings nothing.
    func enterFaultQueue(_ give: (UInt64) -> Descriptor?) throws(IOMMUError) {
        let (id, descriptor) = try queue(give)
        let queue = KernelFaultQueue(id: id, descriptor, limit: store.limits.faultQueueDepth)
        try store.chargeObject(descriptors: 1)
        table.insert(queue)
        try watch(descriptor) { [unowned self, unowned queue] in queue.take { announce($0, from: queue) } }
    }

    /// Likewise.
    func enterEventQueue(
        _ viommu: KernelVIOMMU, _ depth: UInt32, _ give: (UInt64) -> Descriptor?
    ) throws(IOMMUError) {
        let (id, descriptor) = try queue(give)
        try store.chargeObject(descriptors: 1)
        let queue = KernelVEventQueue(id: id, viommu: viommu, depth: depth, descriptor)
        table.insert(queue)
        try watch(descriptor) { [unowned self, unowned queue] in queue.take { announce($0, from: queue) } }
    }

    private func queue(_ give: (UInt64) -> Descriptor?) throws(IOMMUError) -> (ObjectID, QueueDescriptor?) {
        guard let value = ledger.next(.object), let id = ObjectID(exactly: value) else { throw Self.lost("a queue") }
        guard let file = ledger.next(.file), let descriptor = give(file) else { return (id, nil) }
        return (id, QueueDescriptor(descriptor, backend.executor))
    }

    private func watch(_ descriptor: QueueDescriptor?, _ take: @escaping () -> Bool) throws(IOMMUError) {
        guard let descriptor else { throw Self.lost("what a queue brings") }
        do throws(SystemError) { try descriptor.start(take) } catch { throw Self.lost("what a queue brings") }
    }
}
