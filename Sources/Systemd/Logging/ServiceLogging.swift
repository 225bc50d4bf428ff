import Logging

/// The right log handler for how this process was started.
public enum ServiceLogging {
    /// Structured journal entries where standard error is journald's, readable lines everywhere else.
    ///
    /// - Parameters:
    ///   - label: the logger's label.
    ///   - fieldPrefix: see ``JournalLogHandler/init(label:fieldPrefix:sink:)``.
    ///   - level: the lowest level that is written.
    public static func handler(label: String, fieldPrefix: String, level: Logger.Level) -> any LogHandler {
        var handler: any LogHandler =
            JournalStream.isStandardError
            ? JournalLogHandler(label: label, fieldPrefix: fieldPrefix, sink: Journal())
            : TerminalLogHandler()
        handler.logLevel = level
        return handler
    }
}
