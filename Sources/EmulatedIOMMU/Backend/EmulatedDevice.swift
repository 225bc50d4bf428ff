import IOMMU
import SMMUv3

/// Takes the page faults of one PASID of a device that no fault queue of a context serves.
package protocol PageFaultHandler: AnyObject {
    /// The handler answers through `device.driver.respond(to:success:)`, now or later, exactly once per last fault.
    func handle(_ fault: DriverFault, from device: EmulatedDevice)
}

/// A device of the emulated machine, bound or not.
package final class EmulatedDevice {
    package let description: DeviceDescription
    package let smmu: EmulatedSMMU
    package let master: Master
    package let group: DeviceGroup
    /// The context that has bound it.
    package internal(set) var boundBy: EmulatedContext? {
        get { boundReference?.context }
        set { boundReference = newValue?.reference }
    }
    private var boundReference: ContextReference?
    /// Its object in that context; set as long as ``boundBy`` is.
    package internal(set) weak var handle: DeviceObject?
    /// Set once it has been unplugged: whoever still holds it answers ENODEV.
    package internal(set) var isRemoved = false
    /// PASIDs that shared virtual addressing holds on this device, with who resolves their faults.
    package var sharedPASIDs: [UInt32: any PageFaultHandler] = [:]
    /// Accelerator queues that are open, over all sessions.
    package var openQueues = 0
    private var removalHooks: [(owner: ObjectIdentifier, action: (EmulatedDevice) -> Void)] = []

    package var name: String { description.name }
    package var driver: SMMUDriver { smmu.driver }

    init(_ description: DeviceDescription, smmu: EmulatedSMMU, master: Master, group: DeviceGroup) {
        self.description = description
        self.smmu = smmu
        self.master = master
        self.group = group
        master.owner = self
    }

    /// Every region of IOVAs that the device cannot use, the MSI window of its bus included.
    package var reservedRegions: [ReservedRegion] {
        guard description.bus == .pci, let window = ReservedRegion.softwareMSIWindow else {
            return description.reserved
        }
        return description.reserved + [ReservedRegion(range: window, kind: .softwareMSI)]
    }

    /// What the table that an attach to an IOAS makes looks like.
    var automaticFormat: PageTableFormat { driver.format(of: driver.preferredKind) }

    /// How many bits a PASID of this device has: what the device and its SMMU both can; 0: none.
    package var pasidBits: Int { min(description.pasidBits, driver.features.substreamIDBits) }

    /// Accesses without a PASID, or with this one, are terminated from now on.
    func block(key: UInt32) { driver.detach(master, pasid: key == DeviceGroup.ridKey ? nil : key) }

    // MARK: Removal

    /// Runs `action`, once, when the device is unplugged, before it is detached.
    package func onRemoval(of owner: AnyObject, _ action: @escaping (EmulatedDevice) -> Void) {
        removalHooks.append((ObjectIdentifier(owner), action))
    }

    /// Takes back every action of one owner.
    package func forgetRemovalHook(of owner: AnyObject) {
        removalHooks.removeAll { $0.owner == ObjectIdentifier(owner) }
    }

    func runRemovalHooks() {
        let hooks = removalHooks
        removalHooks = []
        for hook in hooks { hook.action(self) }
    }
}
