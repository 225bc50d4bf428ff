import JSONRPC

/// How results are shown.
enum Output {
    case table
    case json

    /// Shows a result: as it came, or as the tables that `describe` makes of it.
    func show(_ result: JSONValue, as describe: (JSONValue) -> String = { ValueText.describe($0) }) {
        switch self {
        case .json: StandardOutput.write(result.text + "\n")
        case .table: StandardOutput.write(describe(result))
        }
    }
}

/// Any JSON value as text for people.
enum ValueText {
    /// Scalars as `key  value` lines, arrays of objects as tables below them, bytes as a dump.
    ///
    /// - Parameter shape: what the members are declared to be.
    static func describe(_ value: JSONValue, as shape: [ParameterSchema] = []) -> String {
        switch value {
        case .object(let members): describe(members, shape)
        case .array(let elements): describe(elements)
        default: Printable.text(Table.cell(value)) + "\n"
        }
    }

    private static func describe(_ members: [JSONValue.Member], _ shape: [ParameterSchema]) -> String {
        guard !members.isEmpty else { return "done\n" }
        var scalars = Table(header: [])
        var text = ""
        for member in members {
            if let dump = dump(of: member, shape) {
                text += dump
            } else if let table = table(of: member.value) ?? map(of: member.value) {
                // What is alone needs no title.
                text += members.count == 1 ? table : "\n\(Printable.text(member.key)):\n\(table)"
            } else {
                scalars.add(member.key, Table.cell(member.value))
            }
        }
        return String((scalars.text + text).drop { $0 == "\n" })
    }

    private static func describe(_ elements: [JSONValue]) -> String {
        table(of: .array(elements)) ?? elements.map { Printable.text(Table.cell($0)) + "\n" }.joined()
    }

    /// What is declared to be bytes.
    private static func dump(of member: JSONValue.Member, _ shape: [ParameterSchema]) -> String? {
        guard let declared = shape.first(where: { $0.name == member.key }), case .bytes = declared.kind,
            let bytes = member.value.stringValue.flatMap(Base64Text.decode)
        else { return nil }
        return bytes.isEmpty ? "no bytes\n" : HexDump.text(bytes)
    }

    /// An object as lines of names and values.
    private static func map(of value: JSONValue) -> String? {
        guard let members = value.objectValue, members.count > 3 else { return nil }
        var table = Table(header: [])
        for member in members { table.add(member.key, Table.cell(member.value)) }
        return table.text
    }

    /// An array of objects as a table, its columns in the order in which they first appear. Where that is too wide,
    /// what only some objects have stands together in the last column.
    static func table(of value: JSONValue, on terminal: Terminal = .output) -> String? {
        guard let elements = value.arrayValue, !elements.isEmpty,
            elements.allSatisfy({ $0.objectValue != nil })
        else { return nil }
        var columns: [String] = []
        for member in elements.flatMap({ $0.objectValue ?? [] }) where !columns.contains(member.key) {
            columns.append(member.key)
        }
        let table = table(of: elements, columns)
        let common = columns.filter { column in elements.allSatisfy { $0[column] ?? .null != .null } }
        guard let width = terminal.width, table.width > width, !common.isEmpty, common.count < columns.count - 1 else {
            return table.text(on: terminal)
        }
        return self.table(of: elements, common, isGathering: true).text(on: terminal)
    }

    /// - Parameter isGathering: whether what has no column of its own stands in a last one.
    private static func table(of elements: [JSONValue], _ columns: [String], isGathering: Bool = false) -> Table {
        let titles = columns.map { Printable.text($0.uppercased().swapping("_", for: " ")) }
        var table = Table(header: titles + (isGathering ? ["DETAILS"] : []))
        for element in elements {
            let others = (element.objectValue ?? []).filter { !columns.contains($0.key) && $0.value != .null }
            table.add(
                cells: columns.map { Table.cell(element[$0]) } + (isGathering ? [Table.cell(.object(others))] : []))
        }
        return table
    }
}
