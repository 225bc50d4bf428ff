import IOMMU
import LinuxIO

/// The devices of this machine: sysfs, looked at again whenever the kernel says that something has changed.
package final class SystemInventory: DeviceInventory {
    /// How long udev gets to give a new node its group.
    private static let nodeGrace: UInt64 = 2_000_000_000

    private let scan: SystemScan
    private let services: any LoopServices
    private var uevents: Uevents?
    private var isLookingAgain = false
    /// When nodes came that were not there at the start, in nanoseconds.
    private var arrivals: [String: UInt64] = [:]
    /// What sysfs showed when it was last looked at.
    package private(set) var topology: TopologyState
    /// Called in the turn after the kernel has told of a change.
    package var onChange: ((DeviceEvent) -> Void)?
    /// Why devices that come and go are not noticed; nil if they are.
    package let blindness: SystemError?

    /// Whether the kernel's uevents can be heard.
    package var noticesChanges: Bool { uevents != nil }

    /// Looks at the machine, and listens for changes where it may.
    package init(files: SystemFiles = SystemFiles(), services: any LoopServices) {
        scan = SystemScan(files: files)
        self.services = services
        topology = scan.topology
        var made: Uevents?
        var failure: SystemError?
        let relay = Relay()
        do throws(SystemError) { made = try Uevents(services) { relay.inventory?.changed() } } catch { failure = error }
        (uevents, blindness) = (made, failure)
        relay.inventory = self
    }

    /// Its facts and obstacles as they are at this moment: drivers and permissions change without a word.
    package func device(named name: String) -> MachineDevice? {
        guard let known = topology.devices.first(where: { $0.name == name }) else { return nil }
        // Drivers and permissions may have changed without a word.
        let facts = scan.facts(of: name, group: known.group)
        return MachineDevice(facts, obstacles: scan.obstacles(of: facts))
    }

    /// Its node, which is tried for two seconds after it has come: udev gives it its group later.
    package func door(ofDevice name: String) -> (any DeviceDoor)? {
        guard let node = device(named: name)?.facts.cdev else { return nil }
        let patience = arrivals[node].map { $0 &+ Self.nodeGrace } ?? 0
        return VFIODoor(path: scan.files.path(node), patienceUntil: patience)
    }

    // MARK: Changes

    /// Looks again at the end of the turn: changes come in bursts.
    package func changed() {
        guard !isLookingAgain else { return }
        isLookingAgain = true
        services.later { [weak self] in self?.lookAgain() }
    }

    private func lookAgain() {
        isLookingAgain = false
        let before = Dictionary(uniqueKeysWithValues: topology.devices.map { ($0.name, $0) })
        topology = scan.topology
        var after: Set<String> = []
        let now = MonotonicClock.nanoseconds
        for device in topology.devices {
            after.insert(device.name)
            if let node = device.cdev, before[device.name]?.cdev != node { arrivals[node] = now }
            if before[device.name] == nil { onChange?(DeviceEvent(name: device.name, action: .added)) }
        }
        for name in before.keys.sorted() where !after.contains(name) {
            if let node = before[name]?.cdev { arrivals[node] = nil }
            onChange?(DeviceEvent(name: name, action: .removed))
        }
    }

    private final class Relay {
        weak var inventory: SystemInventory?
    }
}
