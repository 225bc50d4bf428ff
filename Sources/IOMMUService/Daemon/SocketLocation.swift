import Glibc

/// Where the daemon listens when systemd hands it no socket.
package enum SocketLocation {
    /// The socket of the service, in the directory that tmpfiles.d makes.
    package static let ofService = "/run/iommud/iommud.sock"

    /// `$XDG_RUNTIME_DIR/iommud.sock`, else `/tmp/iommud-$UID/iommud.sock`; for a system service ``ofService``.
    ///
    /// - Parameter environment: the value of a variable that is set and not empty.
    package static func standard(
        environment: (String) -> String? = Self.variable, uid: UInt32 = getuid()
    ) -> String {
        if let runtime = environment("XDG_RUNTIME_DIR"), runtime.hasPrefix("/") { return "\(runtime)/iommud.sock" }
        if environment("NOTIFY_SOCKET") != nil, environment("INVOCATION_ID") != nil { return ofService }
        return "\(privateDirectory(uid: uid))/iommud.sock"
    }

    /// Whether the directory of this socket is the daemon's to make, for its user alone.
    package static func isPrivate(_ socket: String, uid: UInt32 = getuid()) -> Bool {
        socket == "\(privateDirectory(uid: uid))/iommud.sock"
    }

    /// The value of an environment variable that is set and not empty.
    package static func variable(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }

    private static func privateDirectory(uid: UInt32) -> String { "/tmp/iommud-\(uid)" }
}
