import Glibc

/// What reads an output: how wide it is, and whether it shows colours.
struct Terminal {
    /// Columns; nil: lines may be as long as they are.
    var width: Int?
    /// Whether it understands escape sequences, and whoever looks at it wants colours.
    var hasColor: Bool
    /// Whether somebody looks at it at all.
    var isThere: Bool

    static var output: Terminal { Terminal(STDOUT_FILENO) }
    static var error: Terminal { Terminal(STDERR_FILENO) }

    /// - Parameter descriptor: of the output.
    init(_ descriptor: Int32) {
        isThere = isatty(descriptor) != 0
        let columns = Environment.value("COLUMNS").flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        width = isThere ? Self.columns(descriptor) ?? columns ?? 80 : columns
        hasColor =
            isThere && Environment.value("NO_COLOR") == nil && Environment.value("TERM") ?? "dumb" != "dumb"
    }

    private static func columns(_ descriptor: Int32) -> Int? { size(descriptor)?.columns }

    /// Columns and lines, where the terminal tells.
    static func size(_ descriptor: Int32) -> (columns: Int, lines: Int)? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// How text can stand out.
    enum Style: String {
        case bold = "1"
        case dim = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case cyan = "36"
        case alarm = "1;31"
    }

    /// The text so, where that can be seen.
    func paint(_ text: String, _ style: Style) -> String {
        hasColor && !text.isEmpty ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
    }
}

/// Variables of the environment.
enum Environment {
    /// A variable that is there and not empty.
    static func value(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
