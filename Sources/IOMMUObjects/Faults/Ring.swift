/// A queue over an array: both ends are O(1).
struct Ring<Element> {
    private var slots: ContiguousArray<Element?> = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    var first: Element? { count > 0 ? slots[head] : nil }

    /// Callers bound the count.
    mutating func append(_ element: Element) {
        if count == slots.count { grow() }
        slots[(head + count) & (slots.count - 1)] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head]
        slots[head] = nil
        head = (head + 1) & (slots.count - 1)
        count -= 1
        return element
    }

    /// Takes out what matches, in order; the rest keeps its order.
    mutating func remove(where matches: (Element) -> Bool) -> [Element] {
        var removed: [Element] = []
        for _ in 0..<count {
            guard let element = popFirst() else { break }
            if matches(element) { removed.append(element) } else { append(element) }
        }
        return removed
    }

    private mutating func grow() {
        var larger = ContiguousArray<Element?>(repeating: nil, count: max(8, slots.count * 2))
        for index in 0..<count { larger[index] = slots[(head + index) & (slots.count - 1)] }
        slots = larger
        head = 0
    }
}
