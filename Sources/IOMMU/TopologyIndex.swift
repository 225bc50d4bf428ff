/// What a machine has, for the question whether more fits in.
package struct TopologyIndex: Sendable {
    private struct Stream: Hashable {
        var smmu: String
        var id: UInt32
    }

    private struct Group {
        var smmu: String
        var devices: Int
    }

    private var smmus: [String: SMMUDescription] = [:]
    /// In the order in which they were added.
    private var smmuNames: [String] = []
    private var devices: Set<String> = []
    private var owners: [Stream: String] = [:]
    private var groups: [String: Group] = [:]

    /// Of an empty machine.
    package init() {}

    /// Adds an SMMU, or says what keeps it out.
    package mutating func add(_ smmu: SMMUDescription) -> TopologyProblem? {
        if let problem = TopologyRules.problem(of: smmu) { return problem }
        guard smmus.updateValue(smmu, forKey: smmu.name) == nil else {
            return TopologyProblem(
                "name", .EEXIST, .smmuExists, "there is another SMMU named “\(smmu.name)”",
                remedy: "give each its own name")
        }
        smmuNames.append(smmu.name)
        return nil
    }

    /// Adds a device, or says what keeps it out.
    package mutating func add(_ device: DeviceDescription) -> TopologyProblem? {
        if let problem = problem(with: device) { return problem }
        devices.insert(device.name)
        for id in device.streamIDs { owners[Stream(smmu: device.smmu, id: id)] = device.name }
        if let group = device.group { groups[group, default: Group(smmu: device.smmu, devices: 0)].devices += 1 }
        return nil
    }

    /// Takes out a device that was added.
    package mutating func remove(_ device: DeviceDescription) {
        devices.remove(device.name)
        for id in device.streamIDs { owners[Stream(smmu: device.smmu, id: id)] = nil }
        guard let name = device.group, let group = groups[name] else { return }
        groups[name] = group.devices > 1 ? Group(smmu: group.smmu, devices: group.devices - 1) : nil
    }

    /// What keeps the device out; nil if it fits.
    package func problem(with device: DeviceDescription) -> TopologyProblem? {
        guard let smmu = smmus[device.smmu] else {
            let names = smmuNames.joined(separator: ", ")
            return TopologyProblem(
                "smmu", .ENOENT, .unknownSMMU, "there is no SMMU named “\(device.smmu)”",
                remedy: names.isEmpty ? "describe it with [[smmu]]" : "write one of \(names)")
        }
        return TopologyRules.problem(of: device, behind: smmu) ?? conflict(with: device)
    }

    private func conflict(with device: DeviceDescription) -> TopologyProblem? {
        if devices.contains(device.name) {
            return TopologyProblem(
                "name", .EEXIST, .deviceExists, "there is another device named “\(device.name)”",
                remedy: "give each its own name")
        }
        for (position, id) in device.streamIDs.enumerated() {
            guard let owner = owners[Stream(smmu: device.smmu, id: id)] else { continue }
            return .taken(id, position, device, by: owner)
        }
        if let name = device.group, let group = groups[name], group.smmu != device.smmu {
            return TopologyProblem(
                "group", .EINVAL, .groupSpansSmmus, "group “\(name)” has devices behind \(group.smmu)",
                remedy: "a group is behind one SMMU")
        }
        return nil
    }
}
