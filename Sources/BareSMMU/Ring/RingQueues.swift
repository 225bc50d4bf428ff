import CLinux
import Glibc
import LinuxIO

/// The memory that a ring shares with its client, as the daemon uses it.
///
/// Everything in it is the client's to change at any time: each word is read once and checked, and what the daemon
/// knows it does not read back.
struct RingQueues {
    let layout: RingLayout
    private let base: UnsafeMutableRawPointer
    private let wake: SharedDescriptor
    /// An index that cannot be ends it: nothing is read or written any more.
    private(set) var isBroken = false
    private var submissionHead: UInt32 = 0
    private(set) var completionTail: UInt32 = 0
    /// `completionTail` as the client knows it.
    private var publishedTail: UInt32 = 0
    /// As the client last had it.
    private var completionHead: UInt32 = 0

    /// - Parameters:
    ///   - base: zeros, of the length that the layout has, which cannot shrink; they outlive this.
    ///   - wake: what the daemon signals; what that takes is there.
    init(_ layout: RingLayout, at base: UnsafeMutableRawPointer, wake: SharedDescriptor) {
        (self.layout, self.base, self.wake) = (layout, base, wake)
        for (index, word) in layout.header.enumerated() { clinux_store32(base + 4 * index, word) }
        clinux_store64(base + 4 * layout.header.count, layout.bytes)
        wantKick(RingLayout.kickForSubmissions)
    }

    // MARK: Submissions

    /// Entries that the client has submitted and that have not been read, at most so many as there are.
    mutating func waitingSubmissions() -> Int {
        let waiting = clinux_load32(base + RingLayout.submissionTail) &- submissionHead
        guard !isBroken, waiting <= UInt32(layout.entries) else {
            if !isBroken { fail() }
            return 0
        }
        return Int(waiting)
    }

    /// The next entry; there has to be one.
    @inline(__always)
    mutating func nextSubmission() -> RingSubmission {
        let place = Int(submissionHead & UInt32(layout.entries - 1)) &* RingLayout.submissionBytes
        submissionHead &+= 1
        return RingSubmission(at: base + layout.submissionsAt + place)
    }

    // MARK: Completions

    /// Whether there is room for another completion.
    mutating func hasRoom() -> Bool {
        if completionTail &- completionHead < UInt32(layout.completions) { return !isBroken }
        readHead()
        return !isBroken && completionTail &- completionHead < UInt32(layout.completions)
    }

    /// Puts one into the queue, where there has to be room; the client sees it once it is published.
    @inline(__always)
    mutating func complete(_ completion: RingCompletion) {
        let place = Int(completionTail & UInt32(layout.completions - 1)) &* RingLayout.completionBytes
        completion.store(at: base + layout.completionsAt + place)
        completionTail &+= 1
    }

    /// Lets the client have what there is, and wakes it if it sleeps.
    mutating func publish() {
        clinux_store32(base + RingLayout.submissionHead, submissionHead)
        clinux_store32(base + RingLayout.completionTail, completionTail)
        publishedTail = completionTail
        clinux_fence()
        if clinux_load32(base + RingLayout.wantsWake) != 0 { signal() }
    }

    /// Whether the client has moved the head to `end` or beyond.
    mutating func isRead(upTo end: UInt32) -> Bool {
        readHead()
        return completionTail &- completionHead <= completionTail &- end
    }

    /// A head that goes back, or beyond the tail, breaks the ring.
    private mutating func readHead() {
        guard !isBroken else { return }
        let head = clinux_load32(base + RingLayout.completionHead)
        guard publishedTail &- head <= publishedTail &- completionHead else { return fail() }
        completionHead = head
    }

    // MARK: Signals

    /// Says what the client has to signal, before the daemon looks for the last time.
    func wantKick(_ bits: UInt32) {
        clinux_store32(base + RingLayout.wantsKick, bits)
        clinux_fence()
    }

    private func signal() {
        clinux_store32(base + RingLayout.wantsWake, 0)
        _ = clinux_signal_eventfd(wake.number)
    }

    private mutating func fail() {
        isBroken = true
        clinux_store32(base + RingLayout.failure, UInt32(Glibc.EINVAL))
        signal()
    }
}
