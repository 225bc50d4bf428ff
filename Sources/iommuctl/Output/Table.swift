import JSONRPC

/// Text in columns: as wide as what is in them, or as the terminal allows.
struct Table {
    /// One line, or more where its last cells are broken.
    private struct Row {
        var cells: [String]
        /// What stands in the first column of further lines.
        var continuation = ""
        /// One cell across all columns.
        var isWhole = false
    }

    private var rows: [Row]
    private let hasHeader: Bool

    init(_ header: String...) { self.init(header: header) }

    init(header: [String]) {
        rows = [Row(cells: header)]
        hasHeader = !header.isEmpty
    }

    mutating func add(_ cells: String...) { add(cells: cells) }

    /// - Parameter continuation: stands in the first column of further lines of the row.
    mutating func add(cells: [String], continuation: String = "") {
        rows.append(Row(cells: cells.map(Printable.text), continuation: continuation))
    }

    /// A line that is in no column.
    ///
    /// - Parameter continuation: stands at the beginning of further lines of it.
    mutating func add(line: String, continuation: String = "") {
        rows.append(Row(cells: [Printable.text(line)], continuation: continuation, isWhole: true))
    }

    var isEmpty: Bool { rows.count == 1 }

    /// For whoever reads standard output.
    var text: String { text(on: .output) }

    /// The lines, two spaces between columns, none at their ends.
    func text(on terminal: Terminal) -> String {
        guard let width = terminal.width, self.width > width else { return lines(rows, widths(of: rows), terminal) }
        let (rows, note) = hasHeader ? withoutConstants(width) : (rows, "")
        var widths = widths(of: rows)
        if Self.shrink(&widths, to: width, least: words(of: rows)) { return lines(rows, widths, terminal) + note }
        guard !hasHeader else { return records(terminal) }
        _ = Self.shrink(&widths, to: width, least: widths.map { min($0, Self.narrowest) })
        return lines(rows, widths, terminal)
    }

    // MARK: Widths

    private static let gap = 2
    /// No column becomes narrower, even where words have to be broken.
    private static let narrowest = 12

    private static func total(_ widths: [Int]) -> Int { widths.reduce(0, +) + gap * max(0, widths.count - 1) }

    /// Of the longest line, where there is room for it.
    var width: Int {
        max(Self.total(widths(of: rows)), rows.filter(\.isWhole).map { $0.cells[0].count }.max() ?? 0)
    }

    private func widths(of rows: [Row]) -> [Int] {
        var widths: [Int] = []
        for row in rows where !row.isWhole {
            for (column, cell) in row.cells.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return widths
    }

    /// How narrow each column can be without words that are broken.
    private func words(of rows: [Row]) -> [Int] {
        widths(
            of: rows.map { row in
                var row = row
                row.cells = row.cells.map { cell in
                    String(repeating: " ", count: row.isWhole ? 0 : Wrapping.longestWord(cell))
                }
                return row
            })
    }

    /// Takes from the last column first, then from the widest. - Returns: whether that is enough.
    private static func shrink(_ widths: inout [Int], to width: Int, least: [Int]) -> Bool {
        guard let last = widths.indices.last else { return true }
        let excess = total(widths) - width
        if excess > 0 {
            let floor = max(min(widths[last], 2 * narrowest), least[last])
            widths[last] = max(floor, widths[last] - excess)
        }
        while total(widths) > width {
            let free = widths.indices.filter { widths[$0] > least[$0] }
            guard let widest = free.max(by: { widths[$0] < widths[$1] }) else { return false }
            widths[widest] -= 1
        }
        return true
    }

    /// Columns that say the same in every row go, the emptiest first, until the rest fits; they are told below.
    private func withoutConstants(_ width: Int) -> (rows: [Row], note: String) {
        guard rows.count > 2 else { return (rows, "") }
        var rows = rows
        var told: [String] = []
        for onlyEmpty in [true, false] {
            for column in rows[0].cells.indices.dropFirst().reversed() where Self.total(widths(of: rows)) > width {
                let values = Set(
                    rows.dropFirst().filter { !$0.isWhole }.map { column < $0.cells.count ? $0.cells[column] : "" })
                guard values.count == 1, let value = values.first, !onlyEmpty || ["-", ""].contains(value) else {
                    continue
                }
                if !onlyEmpty { told.append("\(rows[0].cells[column]) \(value)") }
                for row in rows.indices where !rows[row].isWhole && column < rows[row].cells.count {
                    rows[row].cells.remove(at: column)
                }
            }
        }
        return (rows, told.isEmpty ? "" : "all: \(told.reversed().joined(separator: ", "))\n")
    }

    // MARK: Lines

    private func lines(_ rows: [Row], _ widths: [Int], _ terminal: Terminal) -> String {
        var text = ""
        for (index, row) in rows.enumerated() {
            guard !row.isWhole else {
                let width = terminal.width.map { $0 - row.continuation.count } ?? .max
                let parts = Wrapping.lines(row.cells[0], width: width)
                text += parts.joined(separator: "\n" + row.continuation) + "\n"
                continue
            }
            let cells = row.cells.enumerated().map { Wrapping.lines($1, width: widths[$0]) }
            for line in 0..<max(1, cells.map(\.count).max() ?? 1) {
                let padded = cells.enumerated().map { column, parts in
                    let part = line < parts.count ? parts[line] : column == 0 ? row.continuation : ""
                    return part + String(repeating: " ", count: max(0, widths[column] - part.count))
                }
                var joined = padded.joined(separator: String(repeating: " ", count: Self.gap))
                while joined.last == " " { joined.removeLast() }
                guard index > 0 || hasHeader else { continue }
                text += (index == 0 ? terminal.paint(joined, .bold) : joined) + "\n"
            }
        }
        return text
    }

    /// Where no table fits: each row as lines of names and values.
    private func records(_ terminal: Terminal) -> String {
        let names = rows[0].cells.map(\.count).max() ?? 0
        return rows.dropFirst().map { row in
            zip(rows[0].cells, row.cells).filter { $0.1 != "-" }.map { name, cell in
                let title = name + String(repeating: " ", count: names - name.count + Self.gap)
                return terminal.paint(title, .bold)
                    + Wrapping.indented(cell, by: names + Self.gap, width: terminal.width) + "\n"
            }.joined()
        }.joined(separator: "\n")
    }
}

extension Table {
    /// A JSON value in one cell.
    static func cell(_ value: JSONValue?) -> String {
        switch value {
        case nil, .null?: "-"
        case .bool(let bool)?: bool ? "yes" : "no"
        case .string(let text)?: text
        case .array(let elements)?:
            elements.isEmpty
                ? "-" : elements.map(cell).joined(separator: elements[0].objectValue == nil ? "," : "; ")
        case .object(let members)?:
            members.isEmpty ? "-" : members.map { "\($0.key)=\(cell($0.value))" }.joined(separator: " ")
        case let value?: value.text
        }
    }
}
