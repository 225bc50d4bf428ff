import JSONRPC

/// The names that objects of a session have: devices, and memory that was given one.
final class NameTable {
    /// Parameters that are called as the kind of object that they name, of which there are names.
    static let kinds = ["device", "memory"]

    private let daemon: Daemon
    private var objects: [JSONValue]?

    init(_ daemon: Daemon) { self.daemon = daemon }

    /// The id of the object called so.
    ///
    /// - Parameter parameter: what it is to be: only objects of that kind are looked at, if there are such with names.
    func id(of name: String, as parameter: String) throws(Failure) -> JSONValue {
        let named = try all().filter { $0["name"]?.stringValue != nil }
        let kind = named.filter { $0["kind"]?.stringValue == parameter }
        let possible = kind.isEmpty ? named : kind
        let found = possible.filter { $0["name"]?.stringValue == name }
        if found.count == 1, let id = found[0]["id"] { return id }
        guard found.isEmpty else {
            let ids = found.map { Table.cell($0["id"]) }.joined(separator: ", ")
            throw .usage("\(parameter): several objects of this session are called “\(name)”: \(ids); give the id")
        }
        let hint =
            Suggestion.text(for: name, among: possible.compactMap { $0["name"]?.stringValue })
            ?? (parameter == "device" ? "; device.bind takes one" : "; give an id")
        throw .usage("\(parameter): nothing in this session is called “\(name)”\(hint)")
    }

    /// What has a name, for completion.
    func names(as parameter: String) -> [String] {
        ((try? all()) ?? []).filter { $0["kind"]?.stringValue == parameter }.compactMap { $0["name"]?.stringValue }
    }

    private func all() throws(Failure) -> [JSONValue] {
        if let objects { return objects }
        let found = try daemon.call("session.objects")["objects"]?.arrayValue ?? []
        objects = found
        return found
    }
}
