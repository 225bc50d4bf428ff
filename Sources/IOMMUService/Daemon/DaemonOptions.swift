import LinuxIO

/// What the command line says; it wins over the configuration.
package struct DaemonOptions: Sendable {
    /// The configuration file; nil: the standard one if it is there.
    package var configuration: String?
    /// `--socket`: where to listen.
    package var socket: String?
    /// `--state`: the directory of what outlives a restart.
    package var state: String?
    /// `--log-level`
    package var logLevel: DaemonConfiguration.LogLevel?
    /// `--backend`
    package var backend: BackendConfiguration.Kind?

    package init(
        configuration: String? = nil, socket: String? = nil, state: String? = nil,
        logLevel: DaemonConfiguration.LogLevel? = nil, backend: BackendConfiguration.Kind? = nil
    ) {
        self.configuration = configuration
        self.socket = socket
        self.state = state
        self.logLevel = logLevel
        self.backend = backend
    }

    /// Goes on with this text in the place of a file that cannot be used.
    package var replacement: String?

    /// What the configuration file says; nil: there is none, or it cannot be read.
    package var text: String? { replacement ?? ConfigurationFile.text(configuration) }

    /// What mistakes call the configuration file.
    var file: String { configuration ?? ConfigurationFile.standardPath }

    /// The configuration file, with what the command line has to say about it.
    package func load() throws(ConfigurationError) -> Configuration {
        var loaded: Configuration
        if let replacement {
            loaded = try ConfigurationFile.parse(replacement, file: "the last configuration that could be used")
        } else {
            loaded = try ConfigurationFile.load(configuration)
        }
        if let backend { loaded.backend.type = backend }
        try MetricsSocket.check(loaded, file: file)
        if let socket, socket.utf8.count > UnixListener.longestPath {
            throw ConfigurationError(
                file: "the command line", .key("--socket"), "the path has \(socket.utf8.count) bytes",
                remedy: "choose one of at most \(UnixListener.longestPath), which is all that a socket can have")
        }
        return loaded
    }
}
