import IOMMU
import IOMMUObjects
import SMMUv3

/// Takes the page faults of one PASID of a device that no fault queue of a context serves.
package protocol PageFaultHandler: AnyObject {
    /// Whether the address space behind the PASID still lives; looked up now.
    func probe() -> Bool
    /// The same as last seen.
    var isLive: Bool { get }
    /// A process that the address space had; nil: a client made it up.
    var pid: Int32? { get }
    /// - Throws: why accesses to it are not even tried: `EBUSY`, `EDQUOT`.
    func checkAnswers() throws(IOMMUError)
    /// The handler answers through `device.driver.respond(to:success:)`, now or later, exactly once per last fault.
    func handle(_ fault: DriverFault, from device: EmulatedDevice)
}

/// A device of the emulated machine: what the object model knows of it, and the hardware beneath.
package final class EmulatedDevice {
    /// As the object model sees it.
    package let device: Device
    /// The facts; here once more, because every access asks for some.
    package let description: DeviceDescription
    /// What its accesses go through.
    package let smmu: EmulatedSMMU
    /// As the driver of the SMMU sees it.
    package let master: Master
    /// PASIDs that shared virtual addressing holds on this device, with who resolves their faults.
    package private(set) var sharers: [UInt32: any PageFaultHandler] = [:]
    /// Accelerator queues that are open, over all sessions.
    package var openQueues = 0
    private var removalHooks: [(owner: ObjectIdentifier, action: (EmulatedDevice) -> Void)] = []

    /// As clients call it.
    package var name: String { description.name }
    /// It moves with these devices.
    package var group: DeviceGroup { device.group }
    /// The driver of its SMMU.
    package var driver: SMMUDriver { smmu.driver }

    init(_ device: Device, smmu: EmulatedSMMU, master: Master) {
        self.device = device
        description = device.description
        self.smmu = smmu
        self.master = master
        master.owner = device.number
    }

    // MARK: Shared virtual addressing

    /// A PASID belongs to an address space from now on.
    func share(_ pasid: UInt32, with handler: any PageFaultHandler) {
        sharers[pasid] = handler
        device.sharedPASIDs.insert(pasid)
    }

    /// The PASID is nobody's again.
    func unshare(_ pasid: UInt32) {
        sharers[pasid] = nil
        device.sharedPASIDs.remove(pasid)
    }

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
