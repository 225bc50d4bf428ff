import Logging
import Systemd

/// The daemon's log, whose level can change while it runs.
package final class DaemonLog {
    /// The logger of the level that holds now.
    package private(set) var logger: Logger

    package init(level: DaemonConfiguration.LogLevel) {
        logger = Logger(label: "iommud") { label in
            ServiceLogging.handler(label: label, fieldPrefix: "IOMMUD_", level: Logger.Level(level))
        }
    }

    /// Holds for this logger, not for copies of it made before.
    package func setLevel(_ level: DaemonConfiguration.LogLevel) { logger.logLevel = Logger.Level(level) }

    /// An entry for each mistake.
    func report(_ error: ConfigurationError, level: Logger.Level, before: String = "") {
        for line in error.lines {
            logger.log(.configurationRejected, level: level, "\(before)\(line)", ["ERRNO": "\(error.errno)"])
        }
    }
}

extension Logger.Level {
    fileprivate init(_ level: DaemonConfiguration.LogLevel) {
        self =
            switch level {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            case .critical: .critical
            }
    }
}
