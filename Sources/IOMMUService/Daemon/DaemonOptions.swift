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

    /// The configuration file, with what the command line has to say about it.
    package func load() throws(ConfigurationError) -> Configuration {
        var loaded = try ConfigurationFile.load(configuration)
        if let backend { loaded.backend.type = backend }
        return loaded
    }
}
