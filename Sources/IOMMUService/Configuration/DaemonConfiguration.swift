/// `[daemon]`: where the daemon lives and how it reports.
package struct DaemonConfiguration: Sendable, Equatable {
    /// The levels, by the names of swift-log.
    package enum LogLevel: String, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }

    /// Path of the socket. nil: `$XDG_RUNTIME_DIR/iommud.sock`, else `/tmp/iommud-$UID/iommud.sock`. A socket passed by
    /// systemd, or `--socket`, wins.
    package var socket: String?
    /// Directory of what outlives a restart. nil: `$RUNTIME_DIRECTORY`, else beside the socket. `--state` wins.
    package var state: String?
    /// Messages below it are dropped. `--log-level` wins.
    package var logLevel = LogLevel.info
    /// Path of a Unix socket that answers HTTP with the metrics, in Prometheus' text format or OpenMetrics. nil: none.
    /// A socket for them that systemd passes wins.
    package var metrics: String?
    /// How long SIGTERM lets requests that wait finish, in seconds.
    package var drainSeconds = 10

    /// The defaults.
    package init() {}

    init(_ section: inout ConfigurationSection) {
        socket = section.socketPath("socket")
        state = section.path("state")
        logLevel = section.choice("log_level") ?? logLevel
        metrics = section.socketPath("metrics")
        drainSeconds = section.integer("drain_seconds", in: 0...3600) ?? drainSeconds
        section.finish()
    }
}
