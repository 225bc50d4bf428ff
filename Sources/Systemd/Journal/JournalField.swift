/// One `NAME=value` of a journal entry. Values may hold any bytes, line feeds too.
public struct JournalField: Sendable, Equatable {
    /// The name; see ``isValidName(_:)``.
    public let name: String
    /// The value, in full.
    public let value: String

    /// Creates a field, `nil` if journald would drop it for its name.
    public init?(_ name: String, _ value: String) {
        guard Self.isValidName(name) else { return nil }
        self.name = name
        self.value = value
    }

    init(trustedName name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Whether journald accepts `name` from a client: 1 to 64 of `A-Z 0-9 _`, no digit and no underscore first
    /// (those are journald's own, trusted fields).
    public static func isValidName(_ name: String) -> Bool {
        let bytes = name.utf8
        guard let first = bytes.first, isCapital(first), bytes.count <= 64 else { return false }
        return bytes.allSatisfy { isCapital($0) || isDigit($0) || $0 == 0x5f }
    }

    /// A valid name made of any text: letters raised, everything that is not a letter or digit an underscore, and cut
    /// to what journald takes.
    ///
    /// - Parameters:
    ///   - text: such as `session` or `smmu-name`.
    ///   - prefix: put before it, such as `IOMMUD_`; itself a valid name.
    public static func name(from text: String, prefix: String) -> String {
        var bytes = Array(prefix.utf8)
        for byte in text.utf8 {
            let isLower = (0x61...0x7a).contains(byte)
            bytes.append(isLower ? byte - 0x20 : isCapital(byte) || isDigit(byte) ? byte : 0x5f)
        }
        let name = String(decoding: bytes.prefix(64), as: UTF8.self)
        return isValidName(name) ? name : String(decoding: (Array("F_".utf8) + bytes).prefix(64), as: UTF8.self)
    }

    /// Most bytes of a name, `=` and value that `journalctl --output=json` shows; of a longer one it prints null.
    static let shownBytes = 4095

    /// The field with a value that `journalctl` shows in every format: what is longer ends with “…”.
    var shortened: JournalField {
        let room = Self.shownBytes - name.utf8.count - 1
        guard value.utf8.count > room else { return self }
        var end = value.utf8.index(value.startIndex, offsetBy: room - "…".utf8.count)
        // Never within a character.
        while end.samePosition(in: value.unicodeScalars) == nil { end = value.utf8.index(before: end) }
        return JournalField(trustedName: name, value[..<end] + "…")
    }

    /// The bytes that go to journald.
    public var bytes: [UInt8] {
        Array(name.utf8) + [0x3d] + Array(value.utf8)
    }

    private static func isCapital(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
