/// As a graph that Graphviz lays out itself.
extension Picture {
    /// The whole file.
    var dot: String {
        var lines = [
            "digraph \"\(Self.quoted(title))\" {", "  rankdir=LR;",
            "  node [shape=box, style=rounded, fontname=\"monospace\"];",
        ]
        lines += outer(nil, indent: "  ")
        lines += arrows.map { arrow in
            let label = arrow.label.isEmpty ? "" : " [label=\"\(Self.quoted(arrow.label))\"]"
            return "  n\(arrow.from) -> n\(arrow.to)\(label);"
        }
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }

    /// What stands in an area, or in none; areas in areas are few.
    private func outer(_ area: Int?, indent: String) -> [String] {
        var lines: [String] = []
        for (index, inner) in areas.enumerated() where inner.area == area {
            lines += ["\(indent)subgraph cluster\(index) {", "\(indent)  label=\"\(Self.quoted(inner.heading))\";"]
            lines += outer(index, indent: indent + "  ") + ["\(indent)}"]
        }
        for (index, box) in boxes.enumerated() where box.area == area {
            let label = ([box.heading] + box.lines).map(Self.quoted).joined(separator: "\\n")
            lines.append("\(indent)n\(index) [label=\"\(label)\"];")
        }
        return lines
    }

    private static func quoted(_ text: String) -> String {
        Printable.text(text).reduce(into: "") { $0 += $1 == "\\" || $1 == "\"" ? "\\\($1)" : String($1) }
    }
}
