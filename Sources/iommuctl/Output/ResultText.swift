import JSONRPC

/// What a method has answered, for whoever reads it.
struct ResultText {
    /// nil: nothing is known of it.
    let method: MethodSchema?
    /// What it was called with.
    let parameters: JSONValue

    /// Shows it.
    func show(_ result: JSONValue, as output: Output) {
        output.show(result) { result in
            if method?.name == "hwpt.get_dirty_bitmap" { return dirtyPages(result) }
            if let walk = walk(result) { return WalkText(walk, isFull: true).text }
            return ValueText.describe(result, as: method?.results ?? [])
        }
    }

    /// Its bytes and nothing else.
    func writeBytes(_ result: JSONValue) throws(Failure) {
        let fields = (method?.results ?? []).filter { if case .bytes = $0.kind { true } else { false } }
        guard let field = fields.first, let bytes = result[field.name]?.stringValue.flatMap(Base64Text.decode) else {
            throw .usage("--raw writes bytes, and \(method?.name ?? "this method") answers none")
        }
        StandardOutput.write(bytes: bytes)
    }

    /// The walk that an answer tells of, if it tells of one.
    private func walk(_ result: JSONValue) -> Walk? {
        guard result["steps"]?.arrayValue != nil, let iova = parameters["iova"]?.unsignedValue else { return nil }
        let access = parameters["access"]?.stringValue ?? "read"
        return Walk(title: "\(access) of \(Hex.text(iova))", iova: iova, ste: nil, cd: nil, result: result)
    }

    /// A bitmap as ranges of addresses.
    private func dirtyPages(_ result: JSONValue) -> String {
        guard let bitmap = result["bitmap"]?.stringValue.flatMap(Base64Text.decode),
            let base = parameters["iova"]?.unsignedValue, let size = parameters["page_size"]?.unsignedValue
        else { return ValueText.describe(result) }
        var table = Table("FIRST", "LAST", "PAGES", "SIZE")
        for run in Self.runs(of: bitmap) {
            let bytes = UInt64(run.count).multipliedReportingOverflow(by: size).partialValue
            let first = base &+ UInt64(run.lowerBound) &* size
            table.add(
                "0x" + String(first, radix: 16), "0x" + String(first &+ bytes &- 1, radix: 16), "\(run.count)",
                Amount.bytes(bytes))
        }
        let count = result["dirty"]?.unsignedValue ?? 0
        let summary = "\(count) dirty \(count == 1 ? "page" : "pages") of \(Amount.bytes(size))\n"
        return table.isEmpty ? summary : table.text + summary
    }

    /// The runs of ones, bit 0 of byte 0 first.
    static func runs(of bitmap: [UInt8]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var start: Int?
        for bit in 0..<(8 * bitmap.count) {
            let isSet = bitmap[bit / 8] >> (bit % 8) & 1 == 1
            if isSet, start == nil { start = bit }
            if !isSet, let first = start {
                runs.append(first..<bit)
                start = nil
            }
        }
        return start.map { runs + [$0..<(8 * bitmap.count)] } ?? runs
    }
}
