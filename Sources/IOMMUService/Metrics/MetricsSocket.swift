import LinuxIO

/// Where the metrics are served: sockets that the service manager passes, else the path in the configuration.
enum MetricsSocket {
    /// `FileDescriptorName=` of a passed one.
    static let descriptorName = "metrics"

    private static let key = "daemon.metrics"
    /// The daemon's service may write to no directory but its own, and nobody else may look into that.
    private static let remedy = """
        leave the key out and have the socket passed (systemctl enable iommud-metrics.socket), or name a path in a \
        directory that the daemon may write to
        """

    /// Refuses a path at which this process could make no socket.
    static func check(_ configuration: Configuration, file: String) throws(ConfigurationError) {
        guard let path = configuration.daemon.metrics else { return }
        do { try UnixListener.check(path: path) } catch { throw mistake(error, file: file) }
    }

    /// Makes the configured one; none without the key.
    static func configured(_ configuration: Configuration, file: String) throws(ConfigurationError) -> [UnixListener] {
        guard let path = configuration.daemon.metrics else { return [] }
        do { return [try UnixListener(path: path)] } catch { throw mistake(error, file: file) }
    }

    private static func mistake(_ error: SystemError, file: String) -> ConfigurationError {
        ConfigurationError(
            file: file, .key(key), "cannot \(error)", remedy: remedy, errno: error.errno)
    }
}
