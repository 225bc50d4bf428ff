import JSONRPC

/// A walk as a tree: STE and CD first, then a line for each descriptor, stage 2 below the address that it resolves.
struct WalkText {
    private let walk: Walk
    /// Whether every descriptor of stage 2 and every field is shown.
    private let isFull: Bool

    init(_ walk: Walk, isFull: Bool) {
        self.walk = walk
        self.isFull = isFull
    }

    /// For whoever reads standard output.
    var text: String { text(on: .output) }

    func text(on terminal: Terminal) -> String {
        let root = TreeNode(line: walk.title, children: structures + stages + [end])
        let text = TreeNode.text([root], on: terminal)
        guard walk.hasFailed else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.contains("✗") ? terminal.paint(String(line), .red) : String(line)
        }.joined(separator: "\n")
    }

    // MARK: Structures

    private var structures: [TreeNode] {
        var nodes: [TreeNode] = []
        if let ste = walk.ste {
            nodes.append(structure("STE", WalkStructures.ste(ste), ste, isWrong: fails(at: "STE", "STREAM")))
        }
        if let cd = walk.cd {
            nodes.append(structure("CD", WalkStructures.cd(cd), cd, isWrong: fails(at: "CD", "SUBSTREAM")))
        }
        return nodes
    }

    private func structure(_ name: String, _ words: [String], _ value: JSONValue, isWrong: Bool) -> TreeNode {
        let text = "\(name)  \(words.joined(separator: ", "))"
        return TreeNode(
            line: isWrong ? "\(text)  ✗ \(walk.eventType)" : text,
            children: isFull ? [TreeNode(line: WalkStructures.all(value))] : [])
    }

    /// Whether the event is about a structure.
    private func fails(at words: String...) -> Bool {
        guard walk.steps.isEmpty, walk.last == nil, walk.hasFailed else { return false }
        let parts = walk.eventType.uppercased().split(separator: "_").map(String.init)
        return words.contains { word in parts.contains { $0.hasPrefix(word) } }
    }

    // MARK: Stages

    private var stages: [TreeNode] {
        var nodes: [TreeNode] = []
        if !walk.steps.isEmpty {
            let last = walk.steps.count - 1
            let isHere = walk.hasFailed && walk.last == nil
            nodes.append(
                TreeNode(
                    line: "stage 1", children: walk.steps.enumerated().map { step($1, isWrong: isHere && $0 == last) }))
        }
        if let resolution = walk.last {
            nodes.append(self.resolution(resolution, isWrong: walk.hasFailed))
        }
        return nodes
    }

    private func step(_ step: Walk.Step, isWrong: Bool) -> TreeNode {
        let mark = isWrong ? "  ✗ \(walk.eventType)" : ""
        return TreeNode(
            "level \(step.level)", "\(Hex.text(step.table))[\(step.index)]",
            PageDescription(step).text(isFull: isFull) + mark,
            children: step.resolution.map { [resolution($0, isWrong: false)] } ?? [])
    }

    /// One line, or one for each descriptor, too.
    private func resolution(_ resolution: Walk.Resolution, isWrong: Bool) -> TreeNode {
        let address = resolution.IPA.map { "IPA \(Hex.text($0))" } ?? "IPA"
        let levels = resolution.steps.count
        let leaf = resolution.steps.last.map { PageDescription($0) }
        let mark = isWrong ? "  ✗ \(walk.eventType)" : ""
        let target = leaf?.text ?? ""
        let line = "\(address) by stage 2: \(target)\(mark)"
        return TreeNode(
            line: isFull ? "\(address) by stage 2" : line,
            children: isFull
                ? resolution.steps.enumerated().map { step($1, isWrong: isWrong && $0 == levels - 1) } : [])
    }

    // MARK: End

    private var end: TreeNode {
        guard !walk.hasFailed, let address = walk.result["pa"] else {
            let said = [walk.meaning, walk.hint.map { "hint: \($0)" }].compactMap { $0 }
            let facts = walk.event.map(Self.facts) ?? []
            return TreeNode(line: "✗ \(walk.eventType)", children: (said + facts).map { TreeNode(line: $0) })
        }
        return TreeNode(line: "→ \(Table.cell(address))  \(Self.outcome(walk.result).joined(separator: ", "))")
    }

    /// What an event says: facts in a line, sentences and records each in their own.
    static func facts(_ event: JSONValue) -> [String] {
        var facts: [String] = []
        var lines: [String] = []
        let told = ["type", "meaning", "hint"]
        for member in event.objectValue ?? [] where !told.contains(member.key) && member.value != .null {
            let title = member.key.swapping("_", for: " ")
            let isID = member.key.hasSuffix("stream_id")
            let value = (isID ? member.value.unsignedValue.map(Hex.text) : nil) ?? Table.cell(member.value)
            if member.value.arrayValue != nil || value.contains(where: { $0 == " " }) {
                lines.append("\(title): \(value)")
            } else if member.value != .bool(false) {
                facts.append(member.value == .bool(true) ? title : "\(title) \(value)")
            }
        }
        return [facts.joined(separator: ", ")] + lines
    }

    /// A byte of MAIR.
    private static func memory(_ attribute: UInt64) -> String {
        switch attribute {
        case 0xff: "Normal write-back"
        case 0x44: "Normal non-cacheable"
        case 0...0xf: "Device-" + ["nGnRnE", "nGnRE", "nGRE", "GRE"][Int(attribute >> 2 & 3)]
        default: "Normal \(Hex.text(attribute))"
        }
    }

    /// `4 KiB page`, `read write`, `inner shareable`, `in the TLB`.
    static func outcome(_ result: JSONValue) -> [String] {
        var words: [String] = []
        if let size = result["page_size"]?.unsignedValue {
            words.append(size == 0 ? "not translated" : "in \(Amount.bytes(size))")
        }
        if let attributes = result["attributes"] {
            words.append(
                ["read", "write", "execute"].filter { attributes[$0]?.boolValue == true }.joined(separator: " "))
            words.append(memory(attributes["memory"]?.unsignedValue ?? 0))
            if let domain = attributes["shareability"]?.stringValue, domain != "none" {
                words.append("\(domain) shareable")
            }
        }
        if result["cached"]?.boolValue == true { words.append("in the TLB") }
        return words
    }
}
