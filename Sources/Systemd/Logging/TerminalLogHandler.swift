import Glibc
import Logging

/// A swift-log handler for people: one line an entry, `12:30:01.123 warning: message  key=value key=value`.
///
/// A value with a space, quote or control character is quoted, so that one entry stays one line and client data cannot
/// forge another.
public struct TerminalLogHandler: LogHandler {
    /// What goes with every line, behind its message.
    public var metadata: Logger.Metadata = [:]
    /// Asked for more of that at each line.
    public var metadataProvider: Logger.MetadataProvider?
    /// Messages below it are dropped.
    public var logLevel: Logger.Level = .info

    private let isColoured: Bool
    private let write: @Sendable (String) -> Void

    /// Creates a handler that writes to standard error, in colour on a terminal unless `NO_COLOR` is set.
    public init() {
        let isColoured = isatty(STDERR_FILENO) == 1 && Environment.value("NO_COLOR") == nil
        self.init(isColoured: isColoured) { StandardError.write($0) }
    }

    /// Creates a handler that hands finished lines, with their line feeds, to `write`.
    public init(isColoured: Bool, write: @escaping @Sendable (String) -> Void) {
        self.isColoured = isColoured
        self.write = write
    }

    /// One value of ``metadata``.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line to standard error.
    public func log(event: LogEvent) {
        write(Self.wallClock() + " " + line(for: event) + "\n")
    }

    /// The line without its time.
    func line(for event: LogEvent) -> String {
        var line = label(event.level) + ": " + Self.escaped(event.message.description)
        let merged = LogMetadata.merged(metadata, metadataProvider, event.metadata).filter { $0.key != "MESSAGE_ID" }
        if !merged.isEmpty { line += " " }
        for (key, value) in merged { line += " \(Self.escaped(key))=\(Self.quoted(value.description))" }
        if let error = event.error { line += " error=\(Self.quoted("\(error)"))" }
        return line
    }

    private func label(_ level: Logger.Level) -> String {
        guard isColoured else { return level.rawValue }
        let colour =
            switch level {
            case .trace, .debug: "2"
            case .info: "0"
            case .notice: "1"
            case .warning: "33"
            case .error, .critical: "1;31"
            }
        return "\u{1b}[\(colour)m\(level.rawValue)\u{1b}[0m"
    }

    private static func wallClock() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var local = tm()
        localtime_r(&now.tv_sec, &local)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let clock = [local.tm_hour, local.tm_min, local.tm_sec].map { padded(Int($0), 2) }.joined(separator: ":")
        return clock + "." + padded(now.tv_nsec / 1_000_000, 3)
    }

    private static func quoted(_ text: String) -> String {
        let special = "\"=\\".unicodeScalars
        let needsQuotes = text.isEmpty || text.unicodeScalars.contains { $0.value <= 0x20 || special.contains($0) }
        return needsQuotes ? "\"" + escaped(text, quote: true) + "\"" : escaped(text)
    }

    private static func escaped(_ text: String, quote: Bool = false) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\"" where quote, "\\" where quote: result += "\\\(scalar)"
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
