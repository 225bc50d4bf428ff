import Glibc
import JSONRPC

/// What `topology.list` tells, in the order in which it is drawn: SMMUs, their groups, the groups' devices.
struct Machine {
    struct SMMU {
        let name: String
        let features: [String]
        var groups: [Group]
    }

    struct Group {
        let title: String
        /// Why its devices cannot be bound, though nobody has them; nil: they can.
        var problem: String? { devices.contains { $0.owner != nil } ? nil : reason }
        let reason: String?
        var devices: [Device]
    }

    struct Device {
        let name: String
        let streamIDs: String
        let pasidBits: UInt64
        let abilities: [String]
        /// Of an accelerator.
        let algorithms: [String]
        let owner: String?
        /// Ranges that it cannot use, but for the window of MSIs.
        let reserved: [String]
        let msiWindows: [String]

        /// What it computes; nil: it is no accelerator.
        var accelerator: String? {
            algorithms.isEmpty ? nil : "accelerator: \(algorithms.joined(separator: ", "))"
        }

        var pasids: String { pasidBits == 0 ? "-" : "\(pasidBits) bits" }
    }

    var smmus: [SMMU]

    init(_ topology: JSONValue) {
        let devices = topology["devices"]?.arrayValue ?? []
        let accelerators = topology["uacce"]?.arrayValue ?? []
        let groups = topology["groups"]?.arrayValue ?? []
        var smmus: [SMMU] = (topology["smmus"]?.arrayValue ?? []).map { smmu in
            let features = (smmu["features"]?.arrayValue ?? []).compactMap(\.stringValue)
            return SMMU(name: Table.cell(smmu["name"]), features: features, groups: [])
        }
        for value in devices {
            let name = value["smmu"]?.stringValue
            if !smmus.contains(where: { $0.name == name }) {
                smmus.append(SMMU(name: name ?? "no IOMMU", features: [], groups: []))
            }
            guard let smmu = smmus.firstIndex(where: { $0.name == name ?? "no IOMMU" }) else { continue }
            let accelerator = accelerators.first { $0["name"] == value["name"] }
            Self.add(value, accelerator, to: &smmus[smmu].groups, groups)
        }
        self.smmus = smmus
    }

    private static func add(
        _ value: JSONValue, _ accelerator: JSONValue?, to groups: inout [Group], _ described: [JSONValue]
    ) {
        let id = value["group"] ?? .null
        let title = id == .null ? "no group" : "group \(Table.cell(id))"
        let device = Device(value, accelerator)
        if let index = groups.firstIndex(where: { $0.title == title }) {
            groups[index].devices.append(device)
        } else {
            let group = described.first { $0["id"] == id }
            let isViable = group?["viable"]?.boolValue ?? true
            let problem = isViable ? nil : group?["reason"]?.stringValue ?? "not viable"
            groups.append(Group(title: title, reason: problem, devices: [device]))
        }
    }
}

extension Machine.Device {
    fileprivate init(_ value: JSONValue, _ accelerator: JSONValue?) {
        name = Table.cell(value["name"])
        let ids = (value["stream_ids"]?.arrayValue ?? []).compactMap(\.unsignedValue)
        streamIDs = ids.isEmpty ? "-" : ids.map { "0x" + String($0, radix: 16) }.joined(separator: ",")
        pasidBits = value["pasid_bits"]?.unsignedValue ?? 0
        var abilities = ["ats", "pri", "stall"].filter { value[$0]?.boolValue == true }.map {
            $0 == "stall" ? $0 : $0.uppercased()
        }
        if value["coherent"]?.boolValue == false { abilities.append("not coherent") }
        algorithms = (accelerator?["algorithms"]?.arrayValue ?? []).compactMap(\.stringValue)
        self.abilities = abilities
        // One knows who one is.
        let user = " of user \(getuid())"
        owner = value["bound_by"]?.stringValue.map { $0.hasSuffix(user) ? String($0.dropLast(user.count)) : $0 }
        let regions = (value["reserved"]?.arrayValue ?? []).map { region in
            (
                type: Table.cell(region["type"]),
                text: "\(Table.cell(region["start"]))-\(Table.cell(region["last"]))"
            )
        }
        reserved = regions.filter { $0.type != "sw_msi" }.map { "\($0.text) \($0.type)" }
        msiWindows = regions.filter { $0.type == "sw_msi" }.map(\.text)
    }
}

/// A machine as lines of text.
enum MachineText {
    /// - Parameter isFull: with windows that every PCI device has.
    static func text(_ machine: Machine, isFull: Bool) -> String {
        let roots = machine.smmus.map { smmu in
            TreeNode(
                line: smmu.features.isEmpty ? smmu.name : "\(smmu.name): \(smmu.features.joined(separator: ", "))",
                children: smmu.groups.map { node($0, isFull) })
        }
        return TreeNode.text(roots, header: ["DEVICE", "STREAM ID", "PASIDS", "CAN", "HELD BY"])
    }

    private static func node(_ group: Machine.Group, _ isFull: Bool) -> TreeNode {
        TreeNode(
            line: group.title + (group.problem.map { ": \($0)" } ?? ""),
            children: group.devices.map { device in
                let windows = isFull ? device.msiWindows.map { "\($0) sw_msi" } : []
                let regions = (device.reserved + windows).map { TreeNode(line: "cannot use \($0)") }
                return TreeNode(
                    device.name, device.streamIDs, device.pasids,
                    device.abilities.isEmpty ? "-" : device.abilities.joined(separator: " "), device.owner ?? "nobody",
                    children: (device.accelerator.map { [TreeNode(line: $0)] } ?? []) + regions)
            })
    }
}
