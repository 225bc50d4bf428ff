/// Where the daemon keeps what outlives it.
package enum StateLocation {
    /// `--state`, else the configuration's, else `$RUNTIME_DIRECTORY`, else a directory beside the socket.
    package static func choose(
        option: String?, configured: String?, socket: String, environment: (String) -> String? = SocketLocation.variable
    ) -> String {
        if let chosen = option ?? configured { return chosen }
        // systemd separates several directories by colons; the first is ours.
        if let first = environment("RUNTIME_DIRECTORY")?.split(separator: ":").first { return String(first) }
        return "\(socket).state"
    }
}
