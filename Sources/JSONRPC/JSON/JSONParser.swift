/// One pass over a JSON text (RFC 8259) into a flat tape of nodes; values stay where they are in the text.
///
/// - Integers are exact: a number is only delimited here and converted by whoever reads it.
/// - Strings are checked for UTF-8 and escapes here and unescaped only when read.
/// - A `\u` escape that is half of a surrogate pair is refused: it has no UTF-8 form. The RFC leaves it open.
/// - A byte order mark is refused. Duplicate keys are left to the reader of the object.
/// - At most 64 levels of containers.
///
/// The text must be followed by a NUL and `ByteBuffer.slack` readable bytes: since a NUL is an error wherever it
/// stands, no other bounds check is needed.
struct JSONParser {
    static let maximumDepth = 64
    /// Nodes kept between messages; a larger message's tape is given back.
    static let usualNodes = 4096

    private(set) var nodes: UnsafeMutablePointer<JSONNode>
    private var capacity: Int
    private let open: UnsafeMutablePointer<UInt32>
    private let template: UnsafeMutablePointer<ElementTemplate>

    /// Index of the node after those that the last parse has written.
    private(set) var count = 0
    /// Where the last parse stopped: after the value, or at the error.
    private(set) var position = 0
    private(set) var problem: JSONSyntaxError.Problem?

    /// - Parameter nodes: Room for as many to begin with.
    init(nodes capacity: Int = usualNodes) {
        self.capacity = capacity
        nodes = .allocate(capacity: capacity)
        open = .allocate(capacity: Self.maximumDepth)
        template = .allocate(capacity: 1)
        template.initialize(to: ElementTemplate())
    }

    func deallocate() {
        nodes.deallocate()
        open.deallocate()
        template.pointee.deallocate()
        template.deallocate()
    }

    /// Parses one text of exactly `length` bytes.
    mutating func parse(_ text: UnsafeMutablePointer<UInt8>, length: Int) -> Bool {
        guard parseValue(text, from: 0, length: length) else { return false }
        skipSpace(text)
        guard position != length else { return true }
        problem = .trailingBytes
        return false
    }

    /// Parses one value beginning at or after `start`; what follows it is left alone.
    ///
    /// - Parameter node: Index of its node; those before it are not written.
    mutating func parseValue(_ text: UnsafeMutablePointer<UInt8>, from start: Int, length: Int, node: Int = 0) -> Bool {
        reserve(length - start + 2 + node)
        var scan = JSONScan(
            text: text, nodes: nodes, open: open, template: template, position: start, end: length, count: node)
        problem = scan.run()
        count = scan.count
        position = scan.position
        guard problem != nil else { return true }
        let isAtEnd = position >= length || Self.isBeginningOfLiteral(text + position, length - position)
        if isAtEnd, problem != .tooDeep { problem = .unexpectedEnd }
        return false
    }

    /// Whether the text breaks off inside `true`, `false` or `null`, of which the scan tells the first byte.
    private static func isBeginningOfLiteral(_ text: UnsafeMutablePointer<UInt8>, _ length: Int) -> Bool {
        let rest = UnsafeBufferPointer(start: text, count: length)
        return ["true", "false", "null"].contains { $0.utf8.starts(with: rest) }
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

    private mutating func skipSpace(_ text: UnsafeMutablePointer<UInt8>) {
        while JSONBytes.isSpace(text[position]) { position &+= 1 }
    }
}
