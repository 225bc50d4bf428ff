import IOMMU

/// The hardware as sysfs shows it at one moment.
struct SystemScan {
    private static let groups = "/sys/kernel/iommu_groups"
    private static let iommus = "/sys/class/iommu"
    private static let vfioDevices = "/sys/class/vfio-dev"
    private static let accelerators = "/sys/class/uacce"

    let files: SystemFiles

    // MARK: Everything

    var topology: TopologyState {
        let numbers = files.list(Self.groups).compactMap { UInt32($0) }.sorted()
        let groups = numbers.map { TopologyState.Group(id: $0, devices: members(of: $0)) }
        var devices = groups.flatMap { group in group.devices.map { facts(of: $0, group: group.id) } }
        let grouped = Set(devices.map(\.name))
        // What a vfio driver has without an IOMMU, and devices that are emulated by a driver.
        for device in lonely() where !grouped.contains(device) { devices.append(facts(of: device, group: nil)) }
        return TopologyState(
            smmus: files.list(Self.iommus).filter(isName).map { TopologyState.SMMU(name: $0, features: [], idr: nil) },
            groups: groups, devices: devices, accelerators: uacce)
    }

    /// Names end up in the journal and in metrics: one that is none of a device's is left out.
    private func isName(_ name: String) -> Bool { TopologyName.isValid(name.utf8) }

    func members(of group: UInt32) -> [String] { files.list("\(Self.groups)/\(group)/devices").filter(isName) }

    private func lonely() -> [String] {
        files.list(Self.vfioDevices).compactMap { files.target("\(Self.vfioDevices)/\($0)/device") }.filter(isName)
    }

    // MARK: One device

    /// The directory of a device: through its group, else through its vfio node.
    private func directory(of name: String, group: UInt32?) -> String? {
        if let group { return "\(Self.groups)/\(group)/devices/\(name)" }
        return files.list(Self.vfioDevices).map { "\(Self.vfioDevices)/\($0)/device" }
            .first { files.target($0) == name }
    }

    func facts(of name: String, group: UInt32?) -> TopologyState.Device {
        var facts = TopologyState.Device(name: name)
        facts.group = group
        guard let directory = directory(of: name, group: group) else { return facts }
        facts.driver = files.target("\(directory)/driver")
        facts.smmu = files.target("\(directory)/iommu")
        let nodes = files.list("\(directory)/vfio-dev").filter { $0.hasPrefix("vfio") || $0.hasPrefix("noiommu-vfio") }
        facts.isVFIOBound = !nodes.isEmpty
        facts.cdev = nodes.first.map { "/dev/vfio/devices/\($0)" }
        facts.isNoIOMMU = nodes.first?.hasPrefix("noiommu-") ?? false
        if let group { facts.reserved = reserved(of: group) }
        return facts
    }

    /// "0x00000000fee00000 0x00000000feefffff msi", a line for each region of the group.
    private func reserved(of group: UInt32) -> [ReservedRegion] {
        let lines = files.text("\(Self.groups)/\(group)/reserved_regions")?.split(separator: "\n") ?? []
        return lines.compactMap { line in
            let words = line.split(separator: " ")
            guard words.count == 3, let start = Self.address(words[0]), let last = Self.address(words[1]),
                let range = AddressRange(start: start, last: last)
            else { return nil }
            return ReservedRegion(range: range, kind: Self.kind(words[2]))
        }
    }

    private static func address(_ word: Substring) -> UInt64? {
        word.hasPrefix("0x") ? UInt64(word.dropFirst(2), radix: 16) : nil
    }

    /// The kernel shows both MSI windows as "msi"; what it will call otherwise one day is at least reserved.
    private static func kind(_ word: Substring) -> ReservedRegion.Kind {
        switch word {
        case "msi": .msi
        case "direct": .direct
        case "direct-relaxable": .directRelaxable
        default: .reserved
        }
    }

    // MARK: Accelerators

    private var uacce: [TopologyState.Accelerator] {
        files.list(Self.accelerators).filter(isName).map { node in
            let directory = "\(Self.accelerators)/\(node)"
            return TopologyState.Accelerator(
                name: files.target("\(directory)/device") ?? node, api: files.text("\(directory)/api") ?? "",
                algorithms: files.text("\(directory)/algorithms")?.split(whereSeparator: \.isWhitespace).map(
                    String.init)
                    ?? [],
                queuesAvailable: files.text("\(directory)/available_instances").flatMap { Int($0) } ?? 0)
        }
    }
}
