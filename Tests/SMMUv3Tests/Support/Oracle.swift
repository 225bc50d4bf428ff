import Foundation
import SMMUv3

/// A file of transactions recorded on QEMU.
struct Oracle {
    /// One state of the machine and a transaction in it.
    struct Transactions {
        let registers: [String: UInt64]
        let memory: SparseMemory
        let list: [Recorded]
    }

    struct Recorded {
        let streamID: UInt32
        let address: UInt64
        let access: Access
        let type: String
        let event: String
        let records: [[UInt64]]
        let PA: UInt64?
        let label: String

        var description: String {
            "\(label) sid \(String(streamID, radix: 16)) iova \(String(address, radix: 16)) \(access)"
        }
    }

    let identification: Identification
    let states: [Transactions]

    static func json(_ name: String) throws -> [String: Any] {
        let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/oracles/\(name).json")
        return try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any] ?? [:]
    }

    init(_ name: String) throws {
        let json = try Self.json(name)
        if json["cases"] != nil {
            (identification, states) = Self.synthetic(json)
        } else {
            (identification, states) = Self.linux(json)
        }
    }

    /// Programs a device with the recorded registers, CR0 last.
    func bringUp(_ smmu: SMMU<SparseMemory>, _ registers: [String: UInt64]) throws {
        let named: [(Register, UInt64)] = Register.allCases.compactMap { register in
            registers[register.name].map { (register, $0) }
        }
        for (register, value) in named where register != .CR0 {
            let update: UInt64 = register == .GBPA ? 1 << 31 : 0
            try smmu.writeRegister(register.rawValue, width: register.width, value: value | update)
        }
        try smmu.writeRegister(Register.CR0.rawValue, width: 4, value: registers["CR0"] ?? 0)
    }

    // MARK: Synthetic cases

    private static func synthetic(_ json: [String: Any]) -> (Identification, [Transactions]) {
        let words = strings(json["idr"]).map { UInt32(number($0)) }
        let identification = Identification(
            IDR0: words[0], IDR1: words[1], IDR2: words[2], IDR3: words[3], IDR4: words[4], IDR5: words[5], AIDR: 1)
        let fixed = registers(json["fixed_regs"])
        let states = objects(json["cases"]).map { item in
            let memory = memory(json)
            for (address, bytes) in item["mem"] as? [String: String] ?? [:] {
                memory.store(hex: bytes, at: number(address))
            }
            let label = "case \(item["id"] ?? "?") \(strings(item["tags"]).joined(separator: " "))"
            return Transactions(
                registers: fixed.merging(registers(item["regs"])) { $1 }, memory: memory,
                list: objects(item["tx"]).map { recorded($0, label) })
        }
        return (identification, states)
    }

    // MARK: Linux

    private static func linux(_ json: [String: Any]) -> (Identification, [Transactions]) {
        let files = objects(json["regs"]).map(registers)
        func word(_ name: String) -> UInt32 { UInt32(files[0][name] ?? 0) }
        let identification = Identification(
            IDR0: word("IDR0"), IDR1: word("IDR1"), IDR2: word("IDR2"), IDR3: word("IDR3"), IDR4: word("IDR4"),
            IDR5: word("IDR5"), IIDR: word("IIDR"), AIDR: word("AIDR"))
        let pages = objects(json["pages"]).map { $0 as? [String: String] ?? [:] }
        let maps = objects(json["mems"]).map { $0 as? [String: Int] ?? [:] }
        let states = objects(json["tx"]).map { item in
            let memory = memory(json)
            for (page, index) in maps[item["mem"] as? Int ?? 0] {
                for (offset, bytes) in pages[index] {
                    memory.store(hex: bytes, at: number(page) + number("0x" + offset))
                }
            }
            let label = "\(item["scene"] ?? "") \(item["what"] ?? "")"
            return Transactions(
                registers: files[item["regs"] as? Int ?? 0], memory: memory, list: [recorded(item, label)])
        }
        return (identification, states)
    }

    private static func memory(_ json: [String: Any]) -> SparseMemory {
        let ram = json["ram"] as? [String: String] ?? [:]
        return SparseMemory(base: number(ram["base"] ?? "0x0"), size: number(ram["size"] ?? "0x0"))
    }

    private static func recorded(_ item: [String: Any], _ label: String) -> Recorded {
        let result = item["result"] as? [String: Any] ?? [:]
        let records = (result["records"] as? [[String]] ?? []).map { $0.map(number) }
        let event = (result["event"] as? String ?? "").replacingOccurrences(of: "SMMU_EVT_", with: "")
        return Recorded(
            streamID: UInt32(number(item["sid"] as? String ?? "0x0")),
            address: number(item["iova"] as? String ?? "0x0"),
            access: item["access"] as? String == "w" ? .write : .read,
            type: result["type"] as? String ?? "", event: event, records: records,
            PA: (result["pa"] as? String).map(number), label: label)
    }

    // MARK: JSON

    static func number(_ text: String) -> UInt64 {
        UInt64(text.dropFirst(2), radix: 16) ?? 0
    }

    static func registers(_ value: Any?) -> [String: UInt64] {
        (value as? [String: String] ?? [:]).mapValues(number)
    }

    static func objects(_ value: Any?) -> [[String: Any]] {
        value as? [[String: Any]] ?? []
    }

    static func strings(_ value: Any?) -> [String] {
        value as? [String] ?? []
    }
}
