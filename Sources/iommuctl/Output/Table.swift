import JSONRPC

/// Text in columns, as wide as what is in them.
struct Table {
    private var rows: [[String]]

    init(_ header: String...) {
        rows = [header]
    }

    init(header: [String]) {
        rows = [header]
    }

    mutating func add(_ cells: String...) {
        rows.append(cells.map(Printable.text))
    }

    mutating func add(cells: [String]) {
        rows.append(cells.map(Printable.text))
    }

    var isEmpty: Bool { rows.count == 1 }

    /// The lines, two spaces between columns, none at their ends.
    var text: String {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return rows.map { row in
            let padded = row.enumerated().map { column, cell in
                cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            var line = padded.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// A JSON value in one cell.
    static func cell(_ value: JSONValue?) -> String {
        switch value {
        case nil, .null?: "-"
        case .bool(let bool)?: bool ? "yes" : "no"
        case .string(let text)?: text
        case .array(let elements)?: elements.isEmpty ? "-" : elements.map(cell).joined(separator: ",")
        case .object(let members)?:
            members.isEmpty ? "-" : members.map { "\($0.key)=\(cell($0.value))" }.joined(separator: " ")
        case let value?: value.text
        }
    }
}
