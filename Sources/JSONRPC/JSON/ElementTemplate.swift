/// An element of an array as a pattern for the elements after it.
///
/// Long arrays come out of loops: one element has the members of the one before in the same order, spelled the same,
/// and only numbers differ, mostly not even in length. Such elements are compared with the pattern eight bytes at a
/// time, and their nodes are copies. What does not fit is scanned as ever, and is the next pattern.
struct ElementTemplate {
    /// Shorter arrays are not worth it.
    static let elementsBefore: UInt32 = 2
    /// More members that vary, or more bytes, make an element no pattern.
    static let maximumValues = ElementShape.maximumValues
    private static let maximumBytes = 256
    /// After so many elements that did not fit, the rest of the array is scanned without a pattern.
    private static let maximumMisses = 16

    /// Node of the array that the pattern is for, -1 for none.
    private var array = -1
    /// First node of the pattern, and the number of its nodes; -1 if what was scanned last cannot be one.
    private var node = 0
    private var nodeCount = -1
    /// First node of an element that was scanned in full since.
    private var newer = -1
    private var misses = 0
    private var shape = ElementShape(maximumBytes: maximumBytes)
    /// The comma and the space between two elements.
    private var gap = Gap()

    private struct Gap {
        /// At most eight.
        var length = 1
        /// As ``JSONBytes/prefix(_:_:)``. At first what no text has.
        var bytes: UInt64 = 0xff

        init() {}

        init(_ text: UnsafePointer<UInt8>, length: Int) {
            guard length <= 8 else { return }
            self.length = length
            bytes = JSONBytes.prefix(text, length)
        }
    }

    func deallocate() { shape.deallocate() }

    /// Before another text is scanned.
    mutating func forget() { array = -1 }

    /// Compares the element at `position` of an array, and those after it, with the pattern and writes their nodes from
    /// `target` on. The commas between them are counted in the node of the array.
    ///
    /// - Returns: Where the last one ends; 0 if the one at `position` is to be scanned in full, beginning at `target`.
    @inline(__always)
    mutating func follow(
        _ array: Int, _ text: UnsafePointer<UInt8>, _ position: Int, _ nodes: UnsafeMutablePointer<JSONNode>,
        _ target: inout Int
    ) -> Int {
        if array != self.array || newer >= 0 { adopt(array, nodes, text, before: position) }
        guard nodeCount > 0, array == self.array else { return 0 }
        return step(over: array, text, position, nodes, &target)
    }

    @inline(never)
    private mutating func step(
        over array: Int, _ text: UnsafePointer<UInt8>, _ position: Int, _ nodes: UnsafeMutablePointer<JSONNode>,
        _ target: inout Int
    ) -> Int {
        let (shape, gap) = (shape, gap)
        var (start, latest, end, count) = (position, Int(nodes[node].start), 0, 0)
        while true {
            let variation = shape.variation(text + start, from: text + latest)
            guard variation >= 0 else { break }
            copyNodes(nodes, to: target, moved: start &- latest, variation)
            (node, latest, target) = (target, start, target &+ nodeCount)
            end = start &+ shape.length
            count &+= 1
            guard JSONBytes.prefix(text + end, gap.length) == gap.bytes else { break }
            start = end &+ gap.length
        }
        if count == 0 {
            misses &+= 1
            newer = target
        } else {
            nodes[array].length &+= UInt32(truncatingIfNeeded: count &- 1)
        }
        return end
    }

    @inline(__always)
    private func copyNodes(_ nodes: UnsafeMutablePointer<JSONNode>, to target: Int, moved: Int, _ variation: Int) {
        let known = JSONNode.vectors(nodes + node)
        let copies = JSONNode.vectors(nodes + target)
        let change = JSONNode.vector(moved: moved, shifted: target &- node)
        var element = known[0] &+ change
        element.w = JSONNode.alike(nodes[node].kind, variation: UInt8(truncatingIfNeeded: variation))
        copies[0] = element
        for index in 1..<nodeCount { copies[index] = known[index] &+ change }
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
        (node, newer, nodeCount) = (newer, -1, -1)
        let kind = nodes[node].kind
        guard misses <= Self.maximumMisses, kind == .object || kind == .array else { return }
        let start = Int(nodes[node].start)
        let end = Self.endOfElement(text, before: position)
        gap = Gap(text + end, length: position &- end)
        guard shape.begin(end &- start) else { return }
        if markValues(nodes, text, start) { nodeCount = Int(nodes[node].next) &- node }
    }

    /// Marks what may vary; `false` if members have containers within them, or too much varies.
    private mutating func markValues(
        _ nodes: UnsafeMutablePointer<JSONNode>, _ text: UnsafePointer<UInt8>, _ start: Int
    ) -> Bool {
        let element = nodes[node]
        var cursor = node &+ 1
        while cursor < Int(element.next) {
            if element.kind == .object { cursor &+= 1 }
            let value = nodes[cursor]
            if value.kind == .object || value.kind == .array, Int(value.next) &- cursor &- 1 != Int(value.length) {
                return false
            }
            let offset = Int(value.start) &- start
            let bytes = text + Int(value.start)
            if value.kind == .integer, bytes[0] != UInt8(ascii: "-") {
                guard shape.mark(offset, Int(value.length), isHexadecimal: false) else { return false }
                nodes[cursor].variation = 1
            } else if value.kind == .string, !value.escaped, value.length > 2, JSONBytes.matches(bytes, "0x") {
                guard shape.mark(offset &+ 2, Int(value.length) &- 2, isHexadecimal: true) else { return false }
                nodes[cursor].variation = 1
            }
            cursor = Int(value.next)
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

