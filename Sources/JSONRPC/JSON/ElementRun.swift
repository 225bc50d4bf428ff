/// Elements of an array that are like the one before them but for some numbers, as they are on the tape: a node of kind
/// `.run`, one more for each number that varies, then room for their values.
///
/// All have as many bytes and as many between them, so that the place of each number is known without a node for it.
struct ElementRun {
    private let first: UnsafePointer<JSONNode>

    /// - Parameter first: The node of kind `.run`.
    init(_ first: UnsafePointer<JSONNode>) { self.first = first }

    /// Number of elements.
    @inline(__always)
    var count: Int { Int(first.pointee.length) }

    /// Offset of the first element in the text.
    @inline(__always)
    var start: Int { Int(first.pointee.start) }

    /// Bytes from one element to the next.
    @inline(__always)
    var stride: Int { Int(first.pointee.stride) }

    /// How many numbers vary.
    @inline(__always)
    var varying: Int { Int(first.pointee.varying) }

    /// One node for each number that varies. As scanned, `start` is the offset of its digits in the element, `length`
    /// how many there are, `kind` that of the value, and `next` the index of its node counted from the element's.
    @inline(__always)
    var numbers: UnsafeMutablePointer<JSONNode> { UnsafeMutablePointer(mutating: first + 1) }

    /// Room for the numbers of one element after the other.
    @inline(__always)
    var values: UnsafeMutablePointer<UInt64> {
        UnsafeMutableRawPointer(mutating: first + 1 + varying).assumingMemoryBound(to: UInt64.self)
    }

    /// Writes the nodes of a run from `target` on; returns the index of the node after them.
    ///
    /// - Parameter variation: Bit i is set if the i-th number of the shape varies.
    static func write(
        _ nodes: UnsafeMutablePointer<JSONNode>, _ target: Int, start: Int, count: Int, stride: Int,
        _ shape: ElementShape, variation: Int
    ) -> Int {
        let varying = variation.nonzeroBitCount
        // A node has room for two values.
        let next = target &+ 1 &+ varying &+ (count &* varying &+ 1) / 2
        var node = JSONNode(.run, start: start, length: count, next: next)
        node.stride = UInt8(truncatingIfNeeded: stride)
        node.varying = UInt8(truncatingIfNeeded: varying)
        (nodes + target).initialize(to: node)
        var (number, rest) = (nodes + target + 1, variation)
        while rest != 0 {
            number.initialize(to: shape.numbers[rest.trailingZeroBitCount])
            number += 1
            rest &= rest &- 1
        }
        return next
    }

    /// Index of an element's node on the tape that ``expand(_:_:)`` makes: 0 stands for what is absent.
    static let expandedNode = 1

    /// Scans each element by itself and calls `body` with its nodes until that returns `false`; returns what `body`
    /// returned last.
    func expand(
        _ text: UnsafeMutablePointer<UInt8>, _ body: (UnsafeMutablePointer<JSONNode>) throws -> Bool
    ) rethrows -> Bool {
        var parser = JSONParser(nodes: stride &+ 3)
        defer { parser.deallocate() }
        for index in 0..<count {
            let position = start &+ index &* stride
            guard
                parser.parseValue(text, from: position, length: position &+ stride, node: Self.expandedNode),
                try body(parser.nodes)
            else { return false }
        }
        return true
    }
}
