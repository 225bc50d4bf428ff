import IOMMU
import IOMMUObjects
import LinuxIO

/// The address spaces, bonds and queues of one context.
package final class SVASession {
    unowned let context: ObjectContext
    let manager: SVAManager
    var mms = IDTable<AddressSpaceHandle>()
    var bonds = IDTable<Bond>()
    var queues = IDTable<AcceleratorQueue>()
    private var bondsOfDevice: [ObjectIdentifier: Int] = [:]
    /// Bonds by device and mm, so that one pair has one bond.
    var bondsByPair: [UInt64: Bond] = [:]

    init(context: ObjectContext, manager: SVAManager) {
        self.context = context
        self.manager = manager
    }

    var contextID: ContextID { context.id }

    // MARK: For the session

    var objectCount: Int { mms.count + bonds.count + queues.count }

    /// Frees everything; the devices are still attached.
    func close() {
        var budget = TurnBudget(units: .max)
        _ = close(&budget)
    }

    /// As ``close()``, as far as the budget lasts: whether nothing is left.
    func close(_ budget: inout TurnBudget) -> Bool {
        while let id = queues.highestID {
            queues[id]?.close()
            removeQueue(id)
            if budget.isSpent(after: Self.unitsOfAnEnd) { return false }
        }
        while let id = bonds.highestID {
            if let bond = bonds[id] { remove(bond) }
            if budget.isSpent(after: Self.unitsOfAnEnd) { return false }
        }
        while let id = mms.highestID {
            if let handle = mms[id] { removeHandle(id, handle) }
            if budget.isSpent(after: Self.unitsOfAnEnd) { return false }
        }
        return true
    }

    /// Some microseconds, with telling whoever has subscribed.
    private static let unitsOfAnEnd = 16

    // MARK: Address spaces

    func handle(_ id: ObjectID) throws(IOMMUError) -> AddressSpaceHandle {
        guard let handle = mms[id] else { throw .unknown(.unknownMM, "mm", id, key: "mm") }
        return handle
    }

    /// - Parameter compare: kcmp(KCMP_VM); nil: the kernel is asked now.
    func open(
        _ opened: OpenedProcess, compare: ((Int32, Int32) -> Int32)? = nil
    ) throws(IOMMUError) -> ObjectID {
        let compare = compare ?? opened.files.compareMM
        let id = try name(manager.space(of: opened, for: context.account.uid, compare: compare))
        mms[id]?.remember(opened)
        return id
    }

    /// The session's name for an address space; a new one if it has none.
    func name(_ space: AddressSpace) throws(IOMMUError) -> ObjectID {
        if let known = space.handles.first(where: { $0.session === self }) { return known.id }
        do throws(IOMMUError) {
            try context.chargeObject(descriptors: space.descriptors)
        } catch {
            manager.releaseIfUnused(space)
            throw error
        }
        let handle = AddressSpaceHandle(session: self, space: space)
        handle.id = mms.give(.mm, manager.ledger, handle)
        space.handles.append(handle)
        return handle.id
    }

    func removeHandle(_ id: ObjectID, _ handle: AddressSpaceHandle) {
        mms.remove(id)
        context.releaseObject(descriptors: handle.descriptors)
        let space = handle.space
        space.handles.removeAll { $0 === handle }
        if space.handles.isEmpty, space.isSynthetic { space.exit() }
        manager.releaseIfUnused(space)
    }

    // MARK: Bonds

    private func key(_ device: ObjectID, _ mm: ObjectID) -> UInt64 { UInt64(device) << 32 | UInt64(mm) }

    /// One more user of the bond between a device and an address space.
    ///
    /// - Parameter deviceID: the device's object.
    func acquireBond(
        _ device: EmulatedDevice, id deviceID: ObjectID, to handle: AddressSpaceHandle
    ) throws(IOMMUError) -> Bond {
        let mm = handle.id
        try checkCapability(of: device)
        guard handle.space.probe() else { throw .mmExited(mm: mm) }
        if let bond = bondsByPair[key(deviceID, mm)] {
            bond.users += 1
            return bond
        }
        guard bonds.count < context.limits.bonds else {
            throw .overLimit(context.limits.bonds, of: "bonds", key: "bonds_per_session")
        }
        try context.chargeObject()
        do throws(IOMMUError) {
            let known = handle.space.attachments.first { $0.group === device.group }
            if let known {
                try known.include(device, of: context.account)
                return insert(device, deviceID, handle, known)
            }
            let made = try SVAAttachment.make(
                space: handle.space, group: device.group, for: device, of: context.account)
            return insert(device, deviceID, handle, made)
        } catch {
            context.releaseObject()
            throw error.with("mm", .number(UInt64(mm))).with("device", .number(UInt64(deviceID)))
        }
    }

    private func insert(
        _ device: EmulatedDevice, _ deviceID: ObjectID, _ handle: AddressSpaceHandle, _ attachment: SVAAttachment
    ) -> Bond {
        let bond = Bond(session: self, device: device, deviceID: deviceID, handle: handle, attachment)
        bond.users = 1
        attachment.bonds.append(bond)
        handle.bonds += 1
        bond.id = bonds.give(.bond, manager.ledger, bond)
        bondsByPair[key(deviceID, handle.id)] = bond
        watch(device)
        announce(bond, state: "live")
        return bond
    }

    /// - Returns: users left.
    func releaseBond(_ bond: Bond) -> Int {
        bond.users -= 1
        if bond.users == 0 { remove(bond) }
        return bond.users
    }

    private func remove(_ bond: Bond) {
        bonds.remove(bond.id)
        forgetPair(of: bond)
        bond.handle.bonds -= 1
        unwatch(bond.device)
        let wasAttached = bond.attachment != nil
        bond.end()
        context.releaseObject()
        if wasAttached { announce(bond, state: "gone") }
    }

    /// One hook for each device, however many bonds there are.
    func watch(_ device: EmulatedDevice) {
        let count = bondsOfDevice[ObjectIdentifier(device), default: 0]
        bondsOfDevice[ObjectIdentifier(device)] = count + 1
        guard count == 0 else { return }
        // Taken back with the last bond, and a session ends only once it has none.
        device.onRemoval(of: self) { [unowned self] device in end(device.device, .deviceRemoved(device.name)) }
    }

    private func unwatch(_ device: EmulatedDevice) {
        let count = bondsOfDevice[ObjectIdentifier(device), default: 1]
        bondsOfDevice[ObjectIdentifier(device)] = count > 1 ? count - 1 : nil
        if count == 1 { device.forgetRemovalHook(of: self) }
    }

    /// The device's bonds end with it. What its queues hold stays, for them to answer and to be closed.
    func release(device: Device) {
        end(
            device,
            IOMMUError(
                .ENODEV, .deviceUnbound, "device \(device.name) was unbound",
                hint: "close what refers to it, and bind it again", ["name": .text(device.name)]))
        for (_, bond) in bonds.all where bond.device.device === device {
            bond.users = bond.queues.count
            // The id may come to mean another device.
            bond.deviceID = nil
            if bond.users == 0 { remove(bond) }
        }
    }

    private func end(_ device: Device, _ error: IOMMUError) {
        for (_, bond) in bonds.all where bond.device.device === device {
            bond.deviceLeaves(error)
            forgetPair(of: bond)
        }
    }

    private func forgetPair(of bond: Bond) {
        guard let device = bond.deviceID, bondsByPair[key(device, bond.handle.id)] === bond else { return }
        bondsByPair[key(device, bond.handle.id)] = nil
    }

    private func checkCapability(of device: EmulatedDevice) throws(IOMMUError) {
        let missing: String? =
            device.master.pasidBits == 0
            ? "PASIDs"
            : !device.master.canFault
                ? "recoverable page faults (stall, or PRI with ATS)"
                : !device.driver.features.hasStage1 || device.driver.features.granuleBits != 12
                    ? "an SMMU with stage 1 and the CPUs' page size" : nil
        if let missing {
            throw IOMMUError(
                .ENODEV, .noSVA, "device \(device.name) cannot share address spaces: it has no \(missing)",
                hint: "topology.list tells what each device has", ["name": .text(device.name)]
            )
        }
    }

    // MARK: Queues

    func queue(_ id: ObjectID) throws(IOMMUError) -> AcceleratorQueue {
        guard let queue = queues[id] else { throw .unknown(.unknownQueue, "queue", id, key: "queue") }
        return queue
    }

    func removeQueue(_ id: ObjectID) {
        guard let queue = queues.remove(id) else { return }
        context.releaseObject()
        queue.bond.queues.removeAll { $0 === queue }
        queue.bond.device.openQueues -= 1
        _ = releaseBond(queue.bond)
    }
}
