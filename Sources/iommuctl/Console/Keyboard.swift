import Glibc

/// What is typed, key by key.
struct Keyboard {
    enum Key: Equatable {
        case text(String)
        case enter, tab, backspace, delete, left, right, home, end, up, down, wordLeft, wordRight
        case interrupt, endOfInput, deleteToEnd, deleteToStart, deleteWord, clear, other
    }

    private var waiting: [UInt8] = []

    private static let controls: [UInt8: Key] = [
        0x01: .home, 0x02: .left, 0x03: .interrupt, 0x04: .endOfInput, 0x05: .end, 0x06: .right, 0x08: .backspace,
        0x09: .tab, 0x0a: .enter, 0x0b: .deleteToEnd, 0x0c: .clear, 0x0d: .enter, 0x0e: .down, 0x10: .up,
        0x15: .deleteToStart, 0x17: .deleteWord, 0x7f: .backspace,
    ]
    private static let sequences: [String: Key] = [
        "[A": .up, "[B": .down, "[C": .right, "[D": .left, "[H": .home, "[F": .end, "OA": .up, "OB": .down,
        "OC": .right, "OD": .left, "OH": .home, "OF": .end, "[1~": .home, "[7~": .home, "[4~": .end, "[8~": .end,
        "[3~": .delete, "[1;5C": .wordRight, "[1;5D": .wordLeft, "b": .wordLeft, "f": .wordRight,
    ]

    /// Waits for the next key; nil: there is nobody any more.
    mutating func next() -> Key? {
        guard let first = byte() else { return nil }
        if first == 0x1b { return sequence() }
        if let key = Self.controls[first] { return key }
        guard first >= 0x20 else { return .other }
        return .text(character(first))
    }

    /// A character of UTF-8 whose first byte is there.
    private mutating func character(_ first: UInt8) -> String {
        var bytes = [first]
        let more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0
        for _ in 0..<more {
            guard let next = byte() else { break }
            bytes.append(next)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What a key sends behind ESC.
    private mutating func sequence() -> Key {
        var text = ""
        while text.count < 8, let next = byte() {
            text.append(Character(UnicodeScalar(next)))
            let isIntroducer = text.count == 1 && (next == UInt8(ascii: "[") || next == UInt8(ascii: "O"))
            if !isIntroducer, next >= 0x40 { break }
        }
        return Self.sequences[text] ?? .other
    }

    private mutating func byte() -> UInt8? {
        while waiting.isEmpty {
            var buffer = [UInt8](repeating: 0, count: 256)
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return nil }
            waiting += buffer.prefix(count)
        }
        return waiting.removeFirst()
    }
}

/// A terminal that gives every key as it is pressed, and shows none.
struct RawTerminal {
    private var saved = termios()

    /// nil: standard input is no terminal.
    init?() {
        guard tcgetattr(STDIN_FILENO, &saved) == 0 else { return nil }
        var raw = saved
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        raw.c_iflag &= ~tcflag_t(ICRNL | IXON)
        guard tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0 else { return nil }
    }

    /// Makes it what it was.
    func restore() {
        var saved = saved
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved)
    }
}
