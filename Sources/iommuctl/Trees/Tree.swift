/// Something with parts, as lines with branches in front.
struct TreeNode {
    /// The first is what the branches lead to, the others stand in columns.
    var cells: [String]
    /// One text across all columns instead.
    var isLine = false
    var children: [TreeNode] = []

    /// A line with columns.
    init(_ cells: String..., children: [TreeNode] = []) {
        self.cells = cells
        self.children = children
    }

    /// A text that may take the whole width.
    init(line: String, children: [TreeNode] = []) {
        cells = [line]
        isLine = true
        self.children = children
    }

    /// All trees below each other.
    static func text(_ roots: [TreeNode], header: [String] = [], on terminal: Terminal = .output) -> String {
        var table = Table(header: header)
        for root in roots { root.add(to: &table, lead: "", below: "") }
        return table.text(on: terminal)
    }

    /// - Parameters:
    ///   - lead: what stands before this node.
    ///   - below: what stands before what is below it.
    private func add(to table: inout Table, lead: String, below: String) {
        let inner = children.isEmpty ? (below.isEmpty && isLine ? "   " : "") : isLine ? "│   " : "│"
        let continuation = below + inner
        if isLine {
            table.add(line: lead + cells[0], continuation: continuation)
        } else {
            table.add(cells: [lead + cells[0]] + cells.dropFirst(), continuation: continuation)
        }
        for (index, child) in children.enumerated() {
            let isLast = index == children.count - 1
            child.add(to: &table, lead: below + (isLast ? "└─ " : "├─ "), below: below + (isLast ? "   " : "│  "))
        }
    }
}
