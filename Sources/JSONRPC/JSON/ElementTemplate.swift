import Glibc

/// An element of an array as a pattern for the elements after it.
///
/// Long arrays come out of loops: one element has the members of the one before in the same order, spelled the same,
/// and only numbers differ, mostly not even in length. Such elements are compared with the pattern many bytes at a
/// time and become one ``ElementRun``. What does not fit is scanned as ever, and is the next pattern.
struct ElementTemplate {
    /// Shorter arrays are not worth it.
    static let elementsBefore: UInt32 = 2
    /// After so many elements that did not fit, the rest of the array is scanned without a pattern.
    private static let maximumMisses = 16

    /// Where the text ends.
    private var end = 0
    /// Node of the array that the pattern is for, -1 for none.
    private var array = -1
    /// Whether what was scanned last can be a pattern.
    private var isPattern = false
    /// First node of an element that was scanned in full since.
    private var newer = -1
    private var misses = 0
    private var shape = ElementShape()
    private var gap = Gap()

    /// The comma and the spaces between two elements.
    private struct Gap {
        var length = 1
        /// The first eight bytes, as ``JSONBytes/prefix(_:_:)``. At first what no text has.
        var head: UInt64 = 0xff
        /// Offset in the text of the gap that others are compared with.
        var start = 0

        @inline(__always)
        func matches(_ text: UnsafePointer<UInt8>, _ position: Int) -> Bool {
            guard JSONBytes.prefix(text + position, length) == head else { return false }
            return length <= 8 || memcmp(text + position, text + start, length) == 0
        }
    }

    func deallocate() { shape.deallocate() }

    /// Before a text is scanned that ends there.
    mutating func begin(end: Int) { (array, self.end) = (-1, end) }

    /// Compares the element at `position` of an array, and those after it, with the pattern and writes a run from
    /// `target` on. The commas between them are counted in the node of the array.
    ///
    /// - Returns: Where the last one ends; 0 if the one at `position` is to be scanned in full, beginning at `target`.
    @inline(__always)
    mutating func follow(
        _ array: Int, _ text: UnsafePointer<UInt8>, _ position: Int, _ nodes: UnsafeMutablePointer<JSONNode>,
        _ target: inout Int
    ) -> Int {
        if array != self.array || newer >= 0 { adopt(array, nodes, text, before: position) }
        guard isPattern, array == self.array else { return 0 }
        return step(over: array, text, position, nodes, &target)
    }

    @inline(never)
    private mutating func step(
        over array: Int, _ text: UnsafePointer<UInt8>, _ first: Int, _ nodes: UnsafeMutablePointer<JSONNode>,
        _ target: inout Int
    ) -> Int {
        let (shape, gap) = (shape, gap)
        let stride = shape.length &+ gap.length
        var (start, count, variation) = (first, 0, 0)
        while start &+ shape.length <= end {
            let varying = shape.variation(text + start)
            guard varying >= 0 else { break }
            variation |= varying
            count &+= 1
            guard start &+ stride <= end, gap.matches(text, start &+ shape.length) else { break }
            start &+= stride
        }
        guard count > 0 else {
            misses &+= 1
            newer = target
            return 0
        }
        target = ElementRun.write(
            nodes, target, start: first, count: count, stride: stride, shape, variation: variation)
        nodes[array].length &+= UInt32(truncatingIfNeeded: count &- 1)
        return first &+ (count &- 1) &* stride &+ shape.length
    }

    // MARK: Making

    /// Makes the last element before `position` the pattern.
    @inline(never)
    private mutating func adopt(
        _ array: Int, _ nodes: UnsafeMutablePointer<JSONNode>, _ text: UnsafePointer<UInt8>, before position: Int
    ) {
        if array != self.array {
            // An array that lost the pattern to one within it has elements that are no patterns.
            guard nodes[array].length == Self.elementsBefore else { return }
            (self.array, misses, newer) = (array, 0, Int(nodes[array &+ 1].next))
        }
        let node = newer
        (newer, isPattern) = (-1, false)
        guard misses <= Self.maximumMisses, nodes[node].isContainer else { return }
        let start = Int(nodes[node].start)
        let end = Self.endOfElement(text, before: position)
        let length = position &- end
        guard position &- start <= Int(UInt8.max), shape.begin(text + start, end &- start) else { return }
        gap = Gap(length: length, head: JSONBytes.prefix(text + end, length), start: end)
        isPattern = markNumbers(nodes, node, text)
    }

    /// Marks what may vary; `false` if members have containers within them, strings have escapes, or too much varies.
    private mutating func markNumbers(
        _ nodes: UnsafeMutablePointer<JSONNode>, _ element: Int, _ text: UnsafePointer<UInt8>
    ) -> Bool {
        var cursor = element &+ 1
        while cursor < Int(nodes[element].next) {
            if nodes[element].kind == .object {
                guard !nodes[cursor].escaped else { return false }
                cursor &+= 1
            }
            let value = nodes[cursor]
            guard Self.isPlain(nodes, cursor),
                mark(value, text, node: cursor &- element, offset: Int(value.start &- nodes[element].start))
            else { return false }
            cursor = Int(value.next)
        }
        return true
    }

    /// Whether a value is a scalar without escapes, or holds nothing else.
    private static func isPlain(_ nodes: UnsafeMutablePointer<JSONNode>, _ value: Int) -> Bool {
        guard nodes[value].isContainer else { return !nodes[value].escaped }
        for node in value &+ 1..<Int(nodes[value].next) {
            guard !nodes[node].isContainer, !nodes[node].escaped else { return false }
        }
        return true
    }

    private mutating func mark(
        _ value: JSONNode, _ text: UnsafePointer<UInt8>, node: Int, offset: Int
    ) -> Bool {
        let bytes = text + Int(value.start)
        let length = Int(value.length)
        if value.kind == .integer, bytes[0] != UInt8(ascii: "-") {
            return shape.mark(.integer, offset, length, node: node)
        }
        if value.kind == .string, length > 2, JSONBytes.matches(bytes, "0x") {
            return shape.mark(.string, offset &+ 2, length &- 2, node: node)
        }
        return true
    }

    /// Steps back from the next element over the comma to the end of the bracket before it.
    private static func endOfElement(_ text: UnsafePointer<UInt8>, before next: Int) -> Int {
        var end = next
        for _ in 0..<2 {
            end &-= 1
            while JSONBytes.isSpace(text[end]) { end &-= 1 }
        }
        return end &+ 1
    }
}
