import JSONRPC

/// What stands in an STE and a CD, as far as it decides where an access goes.
enum WalkStructures {
    private static let configurations: [UInt64: String] = [
        0: "abort", 4: "bypass", 5: "stage 1", 6: "stage 2", 7: "stage 1 and stage 2",
    ]
    private static let sizes = ["32", "36", "40", "42", "44", "48", "52", "56"]
    private static let granules = ["4K", "64K", "16K", "TG 3"]

    /// `Config stage 1`, `S1ContextPtr 0x…`
    static func ste(_ structure: JSONValue) -> [String] {
        let field = reader(structure)
        guard field("V") == 1 else { return ["not valid"] }
        let config = field("Config") ?? 0
        var words = [configurations[config] ?? "Config \(config)"]
        if config == 5 || config == 7 {
            words.append("S1ContextPtr \(Hex.text(address(structure, "S1ContextPtr")))")
            words.append("S1CDMax \(field("S1CDMax") ?? 0)")
        }
        if config == 6 || config == 7 {
            words.append("VMID \(field("S2VMID") ?? 0)")
            words.append("S2TTB \(Hex.text(address(structure, "S2TTB")))")
            words.append("S2T0SZ \(field("S2T0SZ") ?? 0)")
        }
        if let illegal = structure["illegal"]?.stringValue { words.append("\(illegal) is illegal") }
        return words
    }

    /// `ASID 1`, `48-bit addresses, 4K`, `TTB0 0x…`
    static func cd(_ structure: JSONValue) -> [String] {
        let field = reader(structure)
        guard field("V") == 1 else { return ["not valid"] }
        let size = Int(field("IPS") ?? 0) & 7
        var words = [
            "ASID \(field("ASID") ?? 0)",
            "\(64 - min(64, field("T0SZ") ?? 0))-bit input, \(sizes[size])-bit output, "
                + granules[Int(field("TG0") ?? 0) & 3],
            "TTB0 \(Hex.text(address(structure, "TTB0")))",
        ]
        if let illegal = structure["illegal"]?.stringValue { words.append("\(illegal) is illegal") }
        return words
    }

    /// All fields, as `name=value`.
    static func all(_ structure: JSONValue) -> String {
        (structure["fields"]?.objectValue ?? []).map { "\($0.key)=\(Table.cell($0.value))" }.joined(separator: " ")
    }

    private static func reader(_ structure: JSONValue) -> (String) -> UInt64? {
        { structure["fields"]?[$0]?.unsignedValue }
    }

    private static func address(_ structure: JSONValue, _ name: String) -> UInt64 {
        structure["fields"]?[name]?.unsignedValue ?? 0
    }
}
