import JSONRPC

/// What `session.objects` tells: objects and what they refer to.
struct ObjectGraph {
    struct Object {
        /// `ioas 1`
        let title: String
        let kind: String
        let id: Int
        /// What else is known of it, as `key value`.
        let state: [String]
        /// The places of others in the list.
        var references: [Int]
    }

    var objects: [Object]

    init(_ result: JSONValue) {
        let values = result["objects"]?.arrayValue ?? []
        let titles = values.map(Self.title)
        let places = Dictionary(zip(titles, titles.indices)) { first, _ in first }
        objects = zip(values, titles).map { value, title in
            let references = (value["refers_to"]?.arrayValue ?? []).compactMap { places[Self.title($0)] }
            return Object(
                title: title, kind: Table.cell(value["kind"]), id: value["id"]?.intValue ?? 0, state: Self.state(value),
                references: references.reduce(into: []) { if !$0.contains($1) { $0.append($1) } })
        }
    }

    private static func title(_ value: JSONValue) -> String {
        "\(Table.cell(value["kind"])) \(Table.cell(value["id"]))"
    }

    private static func state(_ value: JSONValue) -> [String] {
        let references = (value["refers_to"]?.arrayValue ?? []).map(title)
        let shown = ["kind", "id", "users", "refers_to"]
        return (value.objectValue ?? []).filter { !shown.contains($0.key) && $0.value != .null }.compactMap { member in
            let key = member.key.swapping("_", for: " ")
            switch member.value {
            case .bool(let isTrue): return isTrue ? key : nil
            case .array(let elements) where elements.isEmpty: return nil
            case .string(let text) where text.isEmpty: return nil
            // A reference is told as such.
            case .integer(let id) where references.contains("\(key) \(id)"): return nil
            default:
                return ["name", "flags"].contains(key) ? Table.cell(member.value) : "\(key) \(Table.cell(member.value))"
            }
        }
    }

    /// Asks which memory is mapped in address spaces, of which the daemon tells no references: so many mappings of each
    /// are looked at.
    mutating func addMappedMemory(_ daemon: Daemon, limit: Int = 1000) throws(Failure) {
        for (index, object) in objects.enumerated() where object.kind == "ioas" {
            let result = try daemon.call("ioas.mappings", ["ioas": .integer(object.id), "limit": .integer(limit)])
            for mapping in result["mappings"]?.arrayValue ?? [] {
                let id = mapping["memory"]?.intValue
                guard let memory = objects.firstIndex(where: { $0.kind == "memory" && $0.id == id }),
                    !objects[index].references.contains(memory)
                else { continue }
                objects[index].references.append(memory)
            }
        }
    }

    /// Those to which nothing refers.
    var roots: [Int] {
        let referred = Set(objects.flatMap(\.references))
        return objects.indices.filter { !referred.contains($0) }
    }

    /// How far each stands from the end of what it refers to; what refers to nothing is 0.
    var depths: [Int] {
        var depths = [Int?](repeating: nil, count: objects.count)
        // Each round settles whatever refers only to what is settled.
        for _ in objects {
            var hasChanged = false
            for index in objects.indices where depths[index] == nil {
                let below = objects[index].references.map { depths[$0] }
                guard !below.contains(nil) else { continue }
                depths[index] = (below.compactMap { $0 }.max() ?? -1) + 1
                hasChanged = true
            }
            if !hasChanged { break }
        }
        return depths.map { $0 ?? 0 }
    }

    /// As trees: what refers to something stands above it; what several refer to is described where it stands first.
    var text: String {
        guard !objects.isEmpty else { return "no objects\n" }
        var seen: Set<Int> = []
        let trees = roots.map { node($0, &seen) }
        return TreeNode.text(trees, header: ["OBJECT", "STATE"])
    }

    private func node(_ index: Int, _ seen: inout Set<Int>) -> TreeNode {
        let object = objects[index]
        guard seen.insert(index).inserted else {
            return TreeNode(object.title, object.references.isEmpty ? "" : "(as above)")
        }
        var children: [TreeNode] = []
        for reference in object.references { children.append(node(reference, &seen)) }
        return TreeNode(object.title, object.state.joined(separator: ", "), children: children)
    }
}
