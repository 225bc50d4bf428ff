import IOMMU

/// A device of the machine, bound or not: what the facts about it and its driver make of it.
package final class Device {
    /// The facts.
    package let description: DeviceDescription
    /// The IOMMU that its accesses go through.
    package let driver: any TranslationDriver
    /// Where its driver attaches it.
    package let port: any TranslationPort
    /// It moves with these.
    package let group: DeviceGroup
    /// Its place in what a backend keeps beside: the lowest that is free among the devices of a registry.
    package let number: Int
    /// The context that has bound it.
    package internal(set) var boundBy: ObjectContext? {
        get { boundReference?.context }
        set { boundReference = newValue?.reference }
    }
    private var boundReference: ContextReference?
    /// Its object in that context; set as long as ``boundBy`` is.
    package internal(set) weak var handle: DeviceObject?
    /// Set once it has been unplugged: whoever still holds it answers ENODEV.
    package internal(set) var isRemoved = false
    /// The virtual id under which a virtual machine gets the device's events: what it had when it was attached to a
    /// stage 1 of the guest, until the next attach (`arm_smmu_attach_prepare_vmaster`).
    var eventID: UInt64?
    /// PASIDs that something besides hwpts holds: address spaces of processes.
    package var sharedPASIDs: Set<UInt32> = []

    /// The last answer to what a session maps where the device cannot have it.
    var collisions: Collisions?

    /// Good as long as the session maps and allows the same, and the device stays attached where it is.
    struct Collisions {
        let context: ContextID
        let generation: UInt64
        let attached: ObjectID?
        let obstacles: [DeviceExplanation.Obstacle]
    }

    /// As clients call it.
    package var name: String { description.name }

    init(
        _ description: DeviceDescription, driver: any TranslationDriver, port: any TranslationPort, group: DeviceGroup,
        number: Int
    ) {
        self.description = description
        self.driver = driver
        self.port = port
        self.group = group
        self.number = number
    }

    /// Every region of IOVAs that is set aside for the device, the MSI window of its bus included.
    package var reservedRegions: [ReservedRegion] {
        guard description.bus == .pci, let window = ReservedRegion.softwareMSIWindow else {
            return description.reserved
        }
        return description.reserved + [ReservedRegion(range: window, kind: .softwareMSI)]
    }

    /// Those that no IOVA may be in while the device is attached: all but the firmware's that it has given up.
    package var unusableRegions: [ReservedRegion] { reservedRegions.filter { $0.kind != .directRelaxable } }

    /// How many bits a PASID of this device has: what the device and its IOMMU both can; 0: none.
    package var pasidBits: Int { min(description.pasidBits, driver.traits.pasidBits) }

    /// Accesses without a PASID, or with this one, are terminated from now on.
    func block(key: UInt32) { port.block(pasid: key == DeviceGroup.ridKey ? nil : key) }
}
