import Logging

/// A swift-log handler that writes structured journal entries.
///
/// Metadata become fields: a key that already is a journal field name (`MESSAGE_ID`, `ERRNO`) is taken as it stands,
/// any other is raised and prefixed (`session` → `IOMMUD_SESSION` with the prefix `IOMMUD_`). Arrays become one field
/// of all elements, with blanks between them, since most readers of a journal see one of several fields of a name;
/// dictionaries one field per entry with the keys joined by an underscore.
public struct JournalLogHandler<Sink: JournalSink>: LogHandler {
    /// What goes with every entry, as fields of it.
    public var metadata: Logger.Metadata = [:]
    /// Asked for more of that at each entry.
    public var metadataProvider: Logger.MetadataProvider?
    /// Messages below it are dropped.
    public var logLevel: Logger.Level = .info

    private let label: String
    private let fieldPrefix: String
    private let sink: Sink

    /// Creates a handler.
    ///
    /// - Parameters:
    ///   - label: the logger's label, sent as `LOGGER`.
    ///   - fieldPrefix: put before the names of the program's own fields; capitals, ending with an underscore.
    ///   - sink: where entries go.
    public init(label: String, fieldPrefix: String, sink: Sink) {
        self.label = label
        self.fieldPrefix = fieldPrefix
        self.sink = sink
    }

    /// One value of ``metadata``.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Sends one entry to the journal.
    public func log(event: LogEvent) {
        let merged = LogMetadata.merged(metadata, metadataProvider, event.metadata)
        var fields = [JournalField(trustedName: "LOGGER", label)]
        for (key, value) in merged {
            append(value, name: JournalField.isValidName(key) ? key : name(key), to: &fields)
        }
        if let error = event.error { fields.append(JournalField(trustedName: name("error"), "\(error)")) }
        let location = JournalEntry.Location(file: event.file, line: event.line, function: event.function)
        let entry = JournalEntry(
            event.message.description, priority: event.level.journalPriority, location: location, fields: fields)
        // There is nowhere left to report that the log cannot be written.
        try? sink.send(entry)
    }

    private func name(_ key: String) -> String {
        JournalField.name(from: key, prefix: fieldPrefix)
    }

    private func append(_ value: Logger.MetadataValue, name: String, to fields: inout [JournalField]) {
        switch value {
        case .string(let text): fields.append(JournalField(trustedName: name, text))
        case .stringConvertible(let convertible):
            fields.append(JournalField(trustedName: name, convertible.description))
        case .array(let elements):
            fields.append(JournalField(trustedName: name, elements.map(\.description).joined(separator: " ")))
        case .dictionary(let entries):
            for (key, entry) in entries.sorted(by: { $0.key < $1.key }) {
                append(entry, name: JournalField.name(from: key, prefix: name + "_"), to: &fields)
            }
        }
    }
}

extension Logger.Level {
    /// The syslog severity of a swift-log level; `trace` has none of its own and becomes debug.
    public var journalPriority: JournalPriority {
        switch self {
        case .trace, .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}
