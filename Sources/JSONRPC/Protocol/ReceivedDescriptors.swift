import Glibc
import LinuxIO

/// Descriptors that a client has sent and no call has taken, with the bytes that they came with.
///
/// They belong to the lines that have one of these bytes: any of those may take them, none that ends before or begins
/// after.
struct ReceivedDescriptors {
    private struct Bundle {
        /// Of the bytes, counted from the first that the connection ever received.
        let start: Int
        /// Behind the bytes.
        let end: Int
        var numbers: [Int32]
    }

    /// In the order of their bytes; none is empty.
    private var bundles: [Bundle] = []

    /// All that wait.
    var count: Int { bundles.reduce(0) { $0 + $1.numbers.count } }

    var isEmpty: Bool { bundles.isEmpty }

    /// One more descriptor of the bytes from `start` up to `end`.
    mutating func add(_ descriptor: consuming Descriptor, start: Int, end: Int) {
        if bundles.last?.start != start { bundles.append(Bundle(start: start, end: end, numbers: [])) }
        bundles[bundles.count - 1].numbers.append(descriptor.take())
    }

    /// Those that the line may take which ends before `lineEnd`, and is the first that has not been answered.
    func count(forLineEndingAt lineEnd: Int) -> Int {
        bundles.prefix { $0.start < lineEnd }.reduce(0) { $0 + $1.numbers.count }
    }

    /// Those of them that no later line may take.
    func count(onlyForLineEndingAt lineEnd: Int) -> Int {
        bundles.prefix { $0.end <= lineEnd }.reduce(0) { $0 + $1.numbers.count }
    }

    /// Takes the oldest of those that the line may take.
    mutating func take(forLineEndingAt lineEnd: Int) -> Descriptor? {
        guard let first = bundles.first, first.start < lineEnd else { return nil }
        let number = bundles[0].numbers.removeFirst()
        if bundles[0].numbers.isEmpty { bundles.removeFirst() }
        return Descriptor(adopting: number)
    }

    /// The line is answered: closes what no later line may take.
    mutating func close(afterLineEndingAt lineEnd: Int) {
        while let first = bundles.first, first.end <= lineEnd { closeFirst() }
    }

    mutating func closeAll() {
        while !bundles.isEmpty { closeFirst() }
    }

    private mutating func closeFirst() {
        for number in bundles.removeFirst().numbers { _ = Glibc.close(number) }
    }
}
