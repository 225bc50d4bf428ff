/// Where things lie in the memory of a ring. All numbers are little-endian; indices count entries without end, modulo
/// 2^32, and the place of an entry is its index modulo the length of its queue.
///
/// Documentation/Protocol.md is for clients what this is for the daemon.
struct RingLayout {
    static let magic: UInt32 = 0x7273_6f69
    static let version: UInt32 = 1
    /// Each word that one side writes and the other reads has a line of its own.
    static let (submissionTail, submissionHead) = (0x40, 0x80)
    static let (completionTail, completionHead) = (0xc0, 0x100)
    static let (wantsKick, wantsWake, failure) = (0x140, 0x180, 0x1c0)
    static let submissionBytes = 32
    static let completionBytes = 64
    private static let headerBytes = 4096
    /// `wantsKick`: for submissions.
    static let kickForSubmissions: UInt32 = 1
    /// `wantsKick`: for room, or what is acknowledged: where the client has moved the head of completions.
    static let kickForRoom: UInt32 = 2

    /// Submissions; a power of two.
    let entries: Int
    /// Completions; a power of two.
    var completions: Int { 2 * entries }
    var submissionsAt: Int { Self.headerBytes }
    var completionsAt: Int { Self.headerBytes + max(entries * Self.submissionBytes, Self.completionBytes) }
    /// Whole pages.
    var bytes: UInt64 { UInt64((completionsAt + completions * Self.completionBytes + 0xfff) & ~0xfff) }

    /// - Parameter atLeast: submissions, from 1.
    init(atLeast: Int) {
        var entries = 1
        while entries < atLeast { entries *= 2 }
        self.entries = entries
    }

    /// The words that a client finds at the beginning.
    var header: [UInt32] {
        [
            Self.magic, Self.version, UInt32(entries), UInt32(completions), UInt32(submissionsAt),
            UInt32(completionsAt),
        ]
    }
}
