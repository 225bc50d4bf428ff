import ArgumentParser
import JSONRPC

/// `iommuctl topology`
struct TopologyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topology", abstract: "Show SMMUs, groups and devices, and who has them.")

    @OptionGroup var options: GlobalOptions

    func run() throws {
        options.output.show(try options.connect().call("topology.list"), as: text)
    }

    private func text(_ topology: JSONValue) -> String {
        var text = smmus(topology["smmus"]?.arrayValue ?? [])
        text += "\n" + devices(topology["devices"]?.arrayValue ?? [])
        for key in ["groups", "uacce"] {
            if let table = topology[key].flatMap(ValueText.table) { text += "\n\(key):\n" + table }
        }
        return text
    }

    /// Names with what is true of each; the ID registers are for JSON readers.
    private func smmus(_ smmus: [JSONValue]) -> String {
        var table = Table("SMMU", "FEATURES")
        for smmu in smmus {
            let features = (smmu.objectValue ?? []).filter { !["name", "idr"].contains($0.key) }.map(feature)
            table.add(Table.cell(smmu["name"]), features.filter { !$0.isEmpty }.joined(separator: " "))
        }
        return table.text
    }

    private func feature(_ member: JSONValue.Member) -> String {
        switch member.value {
        case .bool(let isThere): isThere ? member.key : ""
        case .array(let elements): elements.map(Table.cell).joined(separator: " ")
        default: "\(member.key)=\(Table.cell(member.value))"
        }
    }

    private func streamIDs(_ device: JSONValue) -> String {
        let ids = (device["stream_ids"]?.arrayValue ?? []).compactMap(\.unsignedValue)
        return ids.map { "0x" + String($0, radix: 16) }.joined(separator: ",")
    }

    private func devices(_ devices: [JSONValue]) -> String {
        var table = Table("DEVICE", "SMMU", "STREAM IDS", "GROUP", "PASID BITS", "FEATURES", "RESERVED", "BOUND BY")
        for device in devices {
            let features = ["stall", "pri", "ats"].filter { device[$0]?.boolValue == true }
            let reserved = (device["reserved"]?.arrayValue ?? []).map { region in
                "\(Table.cell(region["start"]))-\(Table.cell(region["last"])) \(Table.cell(region["type"]))"
            }
            table.add(
                Table.cell(device["name"]), Table.cell(device["smmu"]), streamIDs(device),
                Table.cell(device["group"]), Table.cell(device["pasid_bits"]),
                features.isEmpty ? "-" : features.joined(separator: " "),
                reserved.isEmpty ? "-" : reserved.joined(separator: ", "), Table.cell(device["bound_by"]))
        }
        return table.text
    }
}
