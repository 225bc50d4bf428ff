/// One pass over a JSON text (RFC 8259) into a flat tape of nodes; values stay where they are in the text.
///
/// - Integers are exact: a number is only delimited here and converted by whoever reads it.
/// - Strings are checked for UTF-8 and escapes here and unescaped only when read.
/// - A `\u` escape that is half of a surrogate pair is refused: it has no UTF-8 form. The RFC leaves it open.
/// - A byte order mark is refused. Duplicate keys are left to the reader of the object.
/// - At most 64 levels of containers.
///
/// The text must be followed by a NUL and `ByteBuffer.slack` readable bytes: since a NUL is an error wherever it stands, no other
/// bounds check is needed.
struct JSONParser {
    static let maximumDepth = 64
    /// Nodes kept between messages; a larger message's tape is given back.
    private static let usualNodes = 4096

    private(set) var nodes: UnsafeMutablePointer<JSONNode>
    private var capacity: Int
    private let open: UnsafeMutablePointer<UInt32>

    /// Nodes written by the last parse.
    private(set) var count = 0
    /// Where the last parse stopped: after the value, or at the error.
    private(set) var position = 0
    private(set) var problem: JSONSyntaxError.Problem?

    init() {
        capacity = Self.usualNodes
        nodes = .allocate(capacity: capacity)
        open = .allocate(capacity: Self.maximumDepth)
    }

    func deallocate() {
        nodes.deallocate()
        open.deallocate()
    }

    /// Parses one text of exactly `length` bytes.
    mutating func parse(_ text: UnsafeMutablePointer<UInt8>, length: Int) -> Bool {
        guard parseValue(text, from: 0, length: length) else { return false }
        skipSpace(text)
        guard position == length else { return fail(.trailingBytes) }
        return true
    }

    /// Parses one value beginning at or after `start`; what follows it is left alone.
    mutating func parseValue(_ text: UnsafeMutablePointer<UInt8>, from start: Int, length: Int) -> Bool {
        reserve(length - start + 2)
        count = 0
        position = start
        problem = nil
        if run(text) { return true }
        if position >= length, problem != .tooDeep { problem = .unexpectedEnd }
        return false
    }

    /// Gives a large tape's memory back.
    mutating func trim() {
        guard capacity > Self.usualNodes else { return }
        capacity = Self.usualNodes
        nodes.deallocate()
        nodes = .allocate(capacity: capacity)
    }

    /// Every node takes at least one byte of the text, so that one check here serves the whole parse.
    private mutating func reserve(_ wanted: Int) {
        guard wanted > capacity else { return }
        capacity = wanted
        nodes.deallocate()
        nodes = .allocate(capacity: wanted)
    }

    @inline(never)
    mutating func fail(_ problem: JSONSyntaxError.Problem) -> Bool {
        self.problem = problem
        return false
    }

    // MARK: Structure

    private mutating func run(_ text: UnsafeMutablePointer<UInt8>) -> Bool {
        var depth = 0
        while true {
            skipSpace(text)
            let byte = text[position]
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard depth < Self.maximumDepth else { return fail(.tooDeep) }
                open[depth] = UInt32(truncatingIfNeeded: count)
                depth &+= 1
                push(byte == UInt8(ascii: "{") ? .object : .array, start: position, length: 0)
                position &+= 1
                skipSpace(text)
                if text[position] != byte &+ 2 {
                    if byte == UInt8(ascii: "{"), !key(text) { return false }
                    continue
                }
            case UInt8(ascii: "\""):
                guard string(text) else { return false }
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                guard number(text) else { return false }
            default:
                guard literal(text) else { return false }
            }
            switch closeContainers(text, &depth) {
            case .finished: return true
            case .nextValue: continue
            case .failed: return false
            }
        }
    }

    private enum Step { case finished, nextValue, failed }

    /// After a value: closes what ends here, and steps over the comma (and key) before the next value.
    @inline(__always)
    private mutating func closeContainers(_ text: UnsafeMutablePointer<UInt8>, _ depth: inout Int) -> Step {
        while depth > 0 {
            let container = nodes + Int(open[depth &- 1])
            let isObject = container.pointee.kind == .object
            skipSpace(text)
            let byte = text[position]
            if byte == UInt8(ascii: ",") {
                container.pointee.length &+= 1
                position &+= 1
                guard isObject else { return .nextValue }
                skipSpace(text)
                return key(text) ? .nextValue : .failed
            }
            guard byte == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
                _ = fail(.unexpectedByte)
                return .failed
            }
            position &+= 1
            container.pointee.next = UInt32(truncatingIfNeeded: count)
            // Commas were counted: a container that holds anything has one value more.
            if count &- 1 > Int(open[depth &- 1]) { container.pointee.length &+= 1 }
            depth &-= 1
        }
        return .finished
    }

    @inline(__always)
    private mutating func key(_ text: UnsafeMutablePointer<UInt8>) -> Bool {
        guard text[position] == UInt8(ascii: "\"") else { return fail(.unexpectedByte) }
        guard string(text) else { return false }
        skipSpace(text)
        guard text[position] == UInt8(ascii: ":") else { return fail(.unexpectedByte) }
        position &+= 1
        return true
    }

    @inline(__always)
    private mutating func skipSpace(_ text: UnsafeMutablePointer<UInt8>) {
        var byte = text[position]
        while byte <= 0x20, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
            position &+= 1
            byte = text[position]
        }
    }

    @inline(__always)
    private mutating func push(_ kind: JSONNode.Kind, start: Int, length: Int, escaped: Bool = false) {
        (nodes + count).initialize(
            to: JSONNode(kind, start: start, length: length, next: count &+ 1, escaped: escaped)
        )
        count &+= 1
    }

    // MARK: Scalars

    @inline(__always)
    private mutating func string(_ text: UnsafeMutablePointer<UInt8>) -> Bool {
        let start = position &+ 1
        var cursor = start
        var escaped = false
        while true {
            let word = UnsafeRawPointer(text + cursor).loadUnaligned(as: UInt64.self)
            let special = JSONBytes.special(word)
            guard special != 0 else {
                cursor &+= 8
                continue
            }
            cursor &+= special.trailingZeroBitCount &>> 3
            if text[cursor] == UInt8(ascii: "\"") { break }
            guard stepOver(text, &cursor, &escaped) else {
                position = cursor
                return false
            }
        }
        push(.string, start: start, length: cursor &- start, escaped: escaped)
        position = cursor &+ 1
        return true
    }

    /// Steps over one escape or one character beyond ASCII.
    private mutating func stepOver(
        _ text: UnsafeMutablePointer<UInt8>, _ cursor: inout Int, _ escaped: inout Bool
    ) -> Bool {
        let byte = text[cursor]
        if byte == UInt8(ascii: "\\") {
            escaped = true
            return JSONBytes.stepOverEscape(text, &cursor).map { fail($0) } ?? true
        }
        if byte < 0x20 { return fail(.controlCharacter) }
        let length = JSONBytes.utf8Length(text + cursor)
        guard length > 0 else { return fail(.invalidUTF8) }
        cursor &+= length
        return true
    }

    @inline(__always)
    private mutating func number(_ text: UnsafeMutablePointer<UInt8>) -> Bool {
        let start = position
        var cursor = start
        if text[cursor] == UInt8(ascii: "-") { cursor &+= 1 }
        let leading = text[cursor]
        let whole = JSONBytes.skipDigits(text, &cursor)
        guard whole > 0, whole == 1 || leading != UInt8(ascii: "0") else { return badNumber(cursor) }
        var kind = JSONNode.Kind.integer
        if text[cursor] == UInt8(ascii: ".") {
            kind = .real
            cursor &+= 1
            guard JSONBytes.skipDigits(text, &cursor) > 0 else { return badNumber(cursor) }
        }
        if text[cursor] | 0x20 == UInt8(ascii: "e") {
            kind = .real
            cursor &+= 1
            if text[cursor] == UInt8(ascii: "+") || text[cursor] == UInt8(ascii: "-") { cursor &+= 1 }
            guard JSONBytes.skipDigits(text, &cursor) > 0 else { return badNumber(cursor) }
        }
        push(kind, start: start, length: cursor &- start)
        position = cursor
        return true
    }

    private mutating func badNumber(_ cursor: Int) -> Bool {
        position = cursor
        return fail(.badNumber)
    }

    private mutating func literal(_ text: UnsafeMutablePointer<UInt8>) -> Bool {
        if JSONBytes.matches(text + position, "true") { return literal(.true, 4) }
        if JSONBytes.matches(text + position, "false") { return literal(.false, 5) }
        if JSONBytes.matches(text + position, "null") { return literal(.null, 4) }
        return fail(text[position] >= 0x80 ? .invalidUTF8 : .unexpectedByte)
    }

    private mutating func literal(_ kind: JSONNode.Kind, _ length: Int) -> Bool {
        push(kind, start: position, length: length)
        position &+= length
        return true
    }
}
