import DequeModule
import LinuxIO

/// Descriptors that a client has sent and no call has taken, with the bytes that they came with.
///
/// They belong to the lines that have one of these bytes: any of those may take them, none that ends before or begins
/// after.
struct ReceivedDescriptors: ~Copyable {
    /// Not private: the compiler loses sight of a private type that cannot be copied in other files.
    struct Entry: ~Copyable {
        /// Of the bytes, counted from the first that the connection ever received.
        let start: Int
        /// Behind the bytes.
        let end: Int
        /// Whether all of the bytes are of the descriptor's buffer; else only the last one is known to be.
        let isSure: Bool
        let descriptor: Descriptor
    }

    /// In the order of their bytes.
    private var entries = UniqueDeque<Entry>()

    /// All that wait.
    var count: Int { entries.count }

    var isEmpty: Bool { entries.isEmpty }

    /// One more descriptor of the bytes from `start` up to `end`.
    ///
    /// - Parameter isSure: `false` if it may have come with the last of these bytes only.
    mutating func add(_ descriptor: consuming Descriptor, start: Int, end: Int, isSure: Bool) {
        entries.append(Entry(start: start, end: end, isSure: isSure, descriptor: descriptor))
    }

    /// Those that the line may take which ends before `lineEnd`, and is the first that has not been answered.
    func count(forLineEndingAt lineEnd: Int) -> Int {
        var count = 0
        while count < entries.count, entries[count].start < lineEnd { count += 1 }
        return count
    }

    /// Those of them that no later line may take.
    func count(onlyForLineEndingAt lineEnd: Int) -> Int {
        var count = 0
        while count < entries.count, entries[count].end <= lineEnd { count += 1 }
        return count
    }

    /// Whether the oldest of those that the line may take may have come with a later line.
    func isOldestUnsure(forLineEndingAt lineEnd: Int) -> Bool {
        !entries.isEmpty && entries[0].start < lineEnd && entries[0].end > lineEnd && !entries[0].isSure
    }

    /// Takes the oldest of those that the line may take.
    mutating func take(forLineEndingAt lineEnd: Int) -> Descriptor? {
        guard !entries.isEmpty, entries[0].start < lineEnd else { return nil }
        return entries.removeFirst().descriptor
    }

    /// The line is answered: closes what no later line may take.
    mutating func close(afterLineEndingAt lineEnd: Int) {
        while !entries.isEmpty, entries[0].end <= lineEnd { _ = entries.removeFirst() }
    }

    mutating func closeAll() { entries.removeAll() }
}
