import JSONRPC

/// A file of recorded transactions: registers, sparse memory, and what came of each access.
///
/// Two forms are read: `tx` with indices into `regs`, `mems` and `pages` (recorded under a running driver), and `cases`
/// with registers and memory of their own (synthetic structures). Numbers are `"0x…"`, memory is hexadecimal bytes.
struct Recording {
    /// A state of the machine and the transactions that were tried in it, with empty caches.
    struct State {
        var registers: [String: UInt64]
        var memory: [Write]
        var transactions: [Transaction]
    }

    /// Bytes at a physical address.
    struct Write {
        var address: UInt64
        var bytes: [UInt8]
    }

    /// One access and its end.
    struct Transaction {
        var label: String
        var streamID: UInt64
        var address: UInt64
        var isWrite: Bool
        var outcome: Outcome
    }

    /// ID register words by name.
    let identification: [String: UInt64]
    /// The one range of addresses that has memory behind it.
    let memory: (base: UInt64, size: UInt64)
    let states: [State]

    /// Reads a file, gzip-compressed or not.
    init(path: String) throws(Failure) {
        let json = try Self.json(path)
        memory = (json["ram"]?["base"]?.unsignedValue ?? 0, json["ram"]?["size"]?.unsignedValue ?? 0)
        if let cases = json["cases"]?.arrayValue {
            identification = Self.identification(words: json["idr"]?.arrayValue ?? [])
            states = Self.states(cases: cases, fixed: Self.numbers(json["fixed_regs"]))
        } else if let transactions = json["tx"]?.arrayValue {
            let registers = (json["regs"]?.arrayValue ?? []).map { Self.numbers($0) }
            identification = (registers.first ?? [:]).filter { $0.key.contains("IDR") }
            states = Self.states(transactions, registers, PageStore(json))
        } else {
            throw .usage("\(path) holds neither “tx” nor “cases”: it is no recording of transactions")
        }
        guard memory.size > 0, !identification.isEmpty, !states.isEmpty else {
            throw .usage("\(path) names no memory, no ID registers or no transactions")
        }
    }

    private static func json(_ path: String) throws(Failure) -> JSONValue {
        let bytes = try FileContents.read(path)
        do throws(JSONSyntaxError) {
            return try JSONValue(parsing: bytes)
        } catch {
            throw .usage("\(path) is not JSON: \(error)")
        }
    }

    private static func identification(words: [JSONValue]) -> [String: UInt64] {
        var registers: [String: UInt64] = ["AIDR": 1]
        for (index, word) in words.enumerated() { registers["IDR\(index)"] = word.unsignedValue }
        return registers
    }

    private static func states(cases: [JSONValue], fixed: [String: UInt64]) -> [State] {
        cases.map { item in
            let tags = (item["tags"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: " ")
            let label = "case \(Table.cell(item["id"])) \(tags)"
            let writes = (item["mem"]?.objectValue ?? []).compactMap { Write(at: $0.key, offset: 0, hex: $0.value) }
            return State(
                registers: fixed.merging(numbers(item["regs"])) { $1 }, memory: writes,
                transactions: (item["tx"]?.arrayValue ?? []).map { Transaction($0, label) })
        }
    }

    private static func states(
        _ transactions: [JSONValue], _ registers: [[String: UInt64]], _ pages: PageStore
    ) -> [State] {
        transactions.map { item in
            let label = "\(Table.cell(item["scene"])): \(Table.cell(item["what"]))"
            let index = item["regs"]?.intValue ?? 0
            return State(
                registers: registers.indices.contains(index) ? registers[index] : [:],
                memory: pages.memory(item["mem"]?.intValue ?? 0), transactions: [Transaction(item, label)])
        }
    }

    private static func numbers(_ value: JSONValue?) -> [String: UInt64] {
        var numbers: [String: UInt64] = [:]
        for member in value?.objectValue ?? [] { numbers[member.key] = member.value.unsignedValue }
        return numbers
    }
}

/// The pages of a recording and the maps from addresses to them.
private struct PageStore {
    private let pages: [JSONValue]
    private let maps: [JSONValue]

    init(_ json: JSONValue) {
        pages = json["pages"]?.arrayValue ?? []
        maps = json["mems"]?.arrayValue ?? []
    }

    func memory(_ index: Int) -> [Recording.Write] {
        guard maps.indices.contains(index) else { return [] }
        return (maps[index].objectValue ?? []).flatMap { member in
            guard let page = member.value.intValue, pages.indices.contains(page) else { return [Recording.Write]() }
            return (pages[page].objectValue ?? []).compactMap { part in
                guard let offset = UInt64(part.key, radix: 16) else { return nil }
                return Recording.Write(at: member.key, offset: offset, hex: part.value)
            }
        }
    }
}

extension Recording.Write {
    init?(at address: String, offset: UInt64, hex: JSONValue) {
        guard let base = JSONValue.string(address).unsignedValue, let digits = hex.stringValue?.utf8,
            digits.count.isMultiple(of: 2)
        else { return nil }
        self.address = base &+ offset
        bytes = []
        var high: UInt8?
        for digit in digits {
            guard let nibble = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
            if let first = high {
                bytes.append(first << 4 | UInt8(nibble))
                high = nil
            } else {
                high = UInt8(nibble)
            }
        }
    }
}

extension Recording.Transaction {
    init(_ item: JSONValue, _ label: String) {
        self.label = label
        streamID = item["sid"]?.unsignedValue ?? 0
        address = item["iova"]?.unsignedValue ?? 0
        isWrite = item["access"]?.stringValue == "w"
        outcome = Outcome(recorded: item["result"] ?? .null)
    }

    var description: String {
        "\(label): StreamID 0x\(String(streamID, radix: 16)), \(isWrite ? "write" : "read") of "
            + "0x\(String(address, radix: 16))"
    }
}
