import SMMUv3

/// The last commands that were issued, with sequence numbers from 1.
struct CommandTrace {
    private let words: UnsafeMutablePointer<UInt64>
    private static let capacity: UInt64 = 4096
    /// How many were ever issued.
    private(set) var issued: UInt64 = 0

    init() {
        words = .allocate(capacity: Int(Self.capacity) * 2)
        words.initialize(repeating: 0, count: Int(Self.capacity) * 2)
    }

    func deallocate() { words.deallocate() }

    @inline(__always)
    mutating func append(_ word0: UInt64, _ word1: UInt64) {
        let slot = Int(truncatingIfNeeded: issued & (Self.capacity &- 1)) &* 2
        words[slot] = word0
        words[slot &+ 1] = word1
        issued &+= 1
    }

    /// What is still known of the commands after `sequence`, at most `limit` of them, oldest first.
    func entries(since sequence: UInt64, limit: Int) -> [(sequence: UInt64, command: Command)] {
        let oldest = issued > Self.capacity ? issued - Self.capacity : 0
        let first = max(oldest, min(sequence, issued))
        let last = min(issued, first + UInt64(max(limit, 0)))
        return (first..<last).map { index in
            let slot = Int(index & (Self.capacity - 1)) * 2
            return (index + 1, Command(word0: words[slot], word1: words[slot + 1]))
        }
    }
}
