import IOMMU
import KernelIOMMU

/// Devices of a machine as a test lists them, each with a node of its own.
package final class FakeInventory: DeviceInventory {
    package var devices: [MachineDevice]
    package let noticesChanges = true
    package var onChange: ((DeviceEvent) -> Void)?

    /// The devices of a ``FakeKernel``, named after their nodes: "vfio0".
    package init(_ devices: [FakeDevice]) {
        self.devices = devices.map { device in
            var facts = TopologyState.Device(name: Self.name(device.path))
            facts.group = device.group
            facts.cdev = device.path
            facts.reserved = device.reserved.map { ReservedRegion(range: $0, kind: .reserved) }
            return MachineDevice(facts)
        }
    }

    private static func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    package var topology: TopologyState {
        let numbers = Set(devices.compactMap(\.facts.group)).sorted()
        return TopologyState(
            smmus: [],
            groups: numbers.map { number in
                TopologyState.Group(id: number, devices: devices.filter { $0.facts.group == number }.map(\.name))
            }, devices: devices.map(\.facts), accelerators: [])
    }

    package func device(named name: String) -> MachineDevice? { devices.first { $0.name == name } }

    package func door(ofDevice name: String) -> (any DeviceDoor)? {
        device(named: name)?.facts.cdev.map { VFIODoor(path: $0) }
    }
}
