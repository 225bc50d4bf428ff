/// Severity of a journal entry, syslog(3).
public enum JournalPriority: Int, Sendable, Comparable {
    case emergency = 0
    case alert = 1
    case critical = 2
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
    case debug = 7

    /// More severe is smaller.
    public static func < (left: JournalPriority, right: JournalPriority) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A structured journal entry.
public struct JournalEntry: Sendable, Equatable {
    /// Where in the program an entry comes from: `CODE_FILE`, `CODE_LINE`, `CODE_FUNC`.
    public struct Location: Sendable, Equatable {
        /// Path of the source file (`CODE_FILE`).
        public var file: String
        /// Its line, from 1 (`CODE_LINE`).
        public var line: UInt
        /// The function it is in (`CODE_FUNC`).
        public var function: String

        /// Creates a location.
        public init(file: String, line: UInt, function: String) {
            self.file = file
            self.line = line
            self.function = function
        }
    }

    /// `MESSAGE`: one sentence for a person.
    public var message: String
    /// `PRIORITY`.
    public var priority: JournalPriority
    /// `MESSAGE_ID`, for messages that have a catalog entry.
    public var id: MessageID?
    /// `CODE_*`.
    public var location: Location?
    /// `SYSLOG_IDENTIFIER`, by default the program's name.
    public var identifier: String?
    /// All other fields, in order; the same name may come twice.
    public var fields: [JournalField]

    /// Creates an entry.
    public init(
        _ message: String, priority: JournalPriority = .info, id: MessageID? = nil, location: Location? = nil,
        identifier: String? = nil, fields: [JournalField] = []
    ) {
        self.message = message
        self.priority = priority
        self.id = id
        self.location = location
        self.identifier = identifier
        self.fields = fields
    }

    /// Every field of the entry, the standard ones first.
    public var allFields: [JournalField] {
        var all = [
            JournalField(trustedName: "MESSAGE", message),
            JournalField(trustedName: "PRIORITY", String(priority.rawValue)),
        ]
        if let id { all.append(JournalField(trustedName: "MESSAGE_ID", id.description)) }
        if let identifier { all.append(JournalField(trustedName: "SYSLOG_IDENTIFIER", identifier)) }
        if let location {
            all.append(JournalField(trustedName: "CODE_FILE", location.file))
            all.append(JournalField(trustedName: "CODE_LINE", String(location.line)))
            all.append(JournalField(trustedName: "CODE_FUNC", location.function))
        }
        return all + fields
    }
}
