/// Where checked parameters are read from: the slots, the tape and the text of the request in hand.
public struct ParameterSource {
    let slots: UnsafeMutablePointer<ParameterSlot>
    let nodes: UnsafeMutablePointer<JSONNode>
    let text: UnsafeMutablePointer<UInt8>
    let program: UnsafeMutablePointer<SchemaProgram.Tables>

    /// The text of a string node; checking has unescaped it.
    func text(of node: UInt32) -> UnsafeRawBufferPointer {
        guard node != 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let node = nodes[Int(node)]
        return UnsafeRawBufferPointer(start: text + Int(node.start), count: Int(node.length))
    }

    /// The value of a declared parameter.
    public subscript<Value>(parameter: Param<Value>) -> Value {
        Value.read(slots[parameter.slot], self, parameter.shape)
    }
}

/// The bytes of a base64 parameter, still encoded. Valid during the call only.
public struct EncodedBytes: ParameterValue {
    private let encoded: UnsafeRawBufferPointer
    /// Number of bytes encoded.
    public let count: Int

    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> EncodedBytes {
        EncodedBytes(encoded: source.text(of: slot.node), count: Int(slot.bits))
    }

    /// Decodes into memory of at least `count` bytes.
    public func decode(into target: UnsafeMutableRawBufferPointer) {
        precondition(target.count >= count, "target is smaller than the decoded bytes")
        guard let source = encoded.baseAddress, let target = target.baseAddress else { return }
        Base64.decode(source.assumingMemoryBound(to: UInt8.self), encoded.count, into: target)
    }

    /// The bytes in an array of their own, to keep beyond the call.
    public func decoded() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { target, written in
            decode(into: UnsafeMutableRawBufferPointer(target))
            written = count
        }
    }
}

/// An array parameter, read in place. Valid during the call only.
public struct List<Element: ParameterValue>: ParameterValue {
    private let source: ParameterSource
    private let node: Int
    private let elementType: Int
    private let shape: Element.Shape

    public static func read(
        _ slot: ParameterSlot, _ source: ParameterSource, _ shape: Element.Shape
    ) -> List<Element> {
        List(source: source, node: Int(slot.node), elementType: Int(slot.bits), shape: shape)
    }

    /// Number of elements.
    public var count: Int { node == 0 ? 0 : Int(source.nodes[node].length) }

    /// Calls `body` with each element in order. An object element is valid until `body` returns.
    @inline(__always)
    public func forEach(_ body: (Element) throws -> Void) rethrows {
        guard node != 0 else { return }
        var cursor = node &+ 1
        let end = Int(source.nodes[node].next)
        if source.nodes[node].escaped {
            // The check has left integers in their nodes.
            while cursor < end {
                let slot = ParameterSlot(bits: source.nodes[cursor].bits, node: UInt32(truncatingIfNeeded: cursor))
                try body(Element.read(slot, source, shape))
                cursor &+= 1
            }
            return
        }
        var model = 0
        while cursor < end {
            if source.nodes[cursor].kind == .run {
                try source.readRun(cursor, model, elementType) { try body(Element.read($1, $0, shape)) }
            } else {
                var slot = ParameterSlot(bits: 0, node: 0)
                // Checked before the handler ran: reading it again cannot fail.
                _ = source.accept(cursor, elementType, &slot)
                try body(Element.read(slot, source, shape))
                model = cursor
            }
            cursor = Int(source.nodes[cursor].next)
        }
    }

    /// What `transform` makes of each element, in order.
    public func map<Output>(_ transform: (Element) throws -> Output) rethrows -> [Output] {
        var output: [Output] = []
        output.reserveCapacity(count)
        try forEach { output.append(try transform($0)) }
        return output
    }
}

extension List {
    /// Calls `body` with each element and the declared members to read it by.
    public func forEach<Fields>(_ body: (Object<Fields>, Fields) throws -> Void) rethrows
    where Element == Object<Fields> {
        try forEach { (element: Object<Fields>) in try body(element, element.fields) }
    }
}

/// Two integers that belong together: an array of two.
public struct IntegerPair: ParameterValue {
    public let first: UInt64
    public let second: UInt64

    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Void) -> IntegerPair {
        // The check has left integers in their nodes.
        let array = Int(slot.node)
        guard array != 0 else { return IntegerPair(first: 0, second: 0) }
        return IntegerPair(first: source.nodes[array &+ 1].bits, second: source.nodes[array &+ 2].bits)
    }
}

/// An object parameter: read its members with `object[object.fields.member]`. Valid during the call only.
public struct Object<Fields>: ParameterValue {
    private let source: ParameterSource
    /// The declared members.
    public let fields: Fields

    public static func read(_ slot: ParameterSlot, _ source: ParameterSource, _ shape: Fields) -> Object<Fields> {
        Object(source: source, fields: shape)
    }

    /// The value of a declared member.
    public subscript<Value>(member: Param<Value>) -> Value { source[member] }
}
