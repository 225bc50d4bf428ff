import IOMMU

/// A device as the system describes it.
package struct MachineDevice: Sendable {
    /// For `topology.list`; nobody has bound it.
    package var facts: TopologyState.Device
    /// What the kernel says when it is asked why the device cannot be bound: obstacles that can be seen from outside.
    package var obstacles: [DeviceExplanation.Obstacle]

    /// With these properties.
    package init(_ facts: TopologyState.Device, obstacles: [DeviceExplanation.Obstacle] = []) {
        self.facts = facts
        self.obstacles = obstacles
    }

    /// As clients call it.
    package var name: String { facts.name }
    /// Regions that no IOVA may be in while it is attached.
    package var unusableRegions: [ReservedRegion] { facts.reserved.filter { $0.kind != .directRelaxable } }
}

/// The devices of a machine, and their coming and going. Used on the loop's thread.
package protocol DeviceInventory: AnyObject {
    /// The hardware, with nobody on it.
    var topology: TopologyState { get }
    /// A device by its name.
    func device(named name: String) -> MachineDevice?
    /// What binds it; nil if nothing can, which its obstacles tell.
    func door(ofDevice name: String) -> (any DeviceDoor)?
    /// Whether it hears of devices that come and go.
    var noticesChanges: Bool { get }
    /// Told when a device comes or goes.
    var onChange: ((DeviceEvent) -> Void)? { get set }
}
