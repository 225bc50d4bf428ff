import JSONRPC

/// What container engines are to give to containers that ask for devices of iommud: a specification of the Container
/// Device Interface.
///
/// A reader of such files takes nothing of one that has a member it does not know, an edit without content, or a field
/// newer than the version that it states (seen with podman 5.4.2, which says so in its debug log alone): so nothing is
/// written that need not be, and the lowest version that allows it is stated.
struct ContainerSpecification {
    /// The vendor and class: `--device iommud/device=NAME`.
    static let kind = "iommud/device"
    /// The name that gives a container the socket and no device.
    static let socketName = "socket"

    /// What the containers find where the daemon's socket is.
    let socket: String
    /// Names, with the nodes of those that have some.
    let devices: [(name: String, node: String?)]

    /// Of what `topology.list` answers; names that the interface does not allow are left out.
    init(topology: JSONValue, socket: String) {
        self.socket = socket
        let all = topology["devices"]?.arrayValue ?? []
        devices = all.compactMap { device in
            guard let name = device["name"]?.stringValue, Self.isName(name), name != Self.socketName else { return nil }
            return (name, device["cdev"]?.stringValue)
        }
    }

    /// The text of the file.
    var text: String {
        Self.object([("cdiVersion", .string(version)), ("kind", .string(Self.kind))] + body).text + "\n"
    }

    /// Names that begin with a digit came with 0.5.0, all else that is used here with 0.3.0.
    private var version: String {
        devices.contains { $0.name.first?.isNumber == true } ? "0.5.0" : "0.3.0"
    }

    private var body: [(String, JSONValue)] {
        let socketOnly = Self.object([
            ("name", .string(Self.socketName)),
            ("containerEdits", Self.object([("env", .array([.string("IOMMUD=1")]))])),
        ])
        return [
            ("devices", .array([socketOnly] + devices.map(Self.element))),
            (
                "containerEdits",
                Self.object([("env", .array([.string("IOMMUD_SOCKET=\(socket)")])), ("mounts", mounts)])
            ),
        ]
    }

    /// The directory, and not the file: a daemon that is started again makes another file.
    private var mounts: JSONValue {
        let directory = socket.lastIndex(of: "/").map { $0 == socket.startIndex ? "/" : String(socket[..<$0]) } ?? "."
        return .array([
            Self.object([
                ("hostPath", .string(directory)), ("containerPath", .string(directory)),
                ("options", .array(["bind", "nosuid", "nodev", "noexec"].map(JSONValue.string))),
            ])
        ])
    }

    /// No edits may be empty, so a device without a node is told by a variable.
    private static func element(_ name: String, _ node: String?) -> JSONValue {
        let variable = "IOMMUD_DEVICE_" + name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }
        var edits: [(String, JSONValue)] = [("env", .array([.string("\(variable)=\(name)")]))]
        if let node {
            edits.append(("deviceNodes", .array([object([("path", .string(node)), ("permissions", .string("rw"))])])))
        }
        return object([("name", .string(name)), ("containerEdits", object(edits))])
    }

    /// Letters, digits, and between them `_`, `-`, `.` and `:`.
    private static func isName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        guard let first = bytes.first, let last = bytes.last, isAlphanumeric(first), isAlphanumeric(last) else {
            return false
        }
        return bytes.allSatisfy { isAlphanumeric($0) || "_-.:".utf8.contains($0) }
    }

    private static func object(_ members: [(String, JSONValue)]) -> JSONValue {
        .object(members.map { .init(key: $0.0, value: $0.1) })
    }
}
