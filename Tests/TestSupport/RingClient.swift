import CLinux
import Glibc
import LinuxIO

/// A VMM's side of a ring, written from what the documentation says of it.
package final class RingClient {
    /// A translation to be asked for.
    package struct Submission: Sendable {
        package var tag: UInt64
        package var streamID: UInt32
        package var pasid: UInt32?
        package var address: UInt64
        /// 0 read, 1 write, 2 execute
        package var access: UInt64
        package var isPrivileged = false
        /// 0 untranslated, 1 translation request, 2 translated
        package var kind: UInt64 = 0

        package init(_ tag: UInt64, stream: UInt32, _ address: UInt64, access: UInt64 = 0, pasid: UInt32? = nil) {
            (self.tag, streamID, self.address, self.access) = (tag, stream, address, access)
            self.pasid = pasid
        }

        /// The four words of the entry.
        package var words: [UInt64] {
            [
                tag, address, UInt64(streamID) | UInt64(pasid ?? 0) << 32,
                access | (isPrivileged ? 4 : 0) | (pasid == nil ? 0 : 8) | kind << 4,
            ]
        }
    }

    /// What has come of one, or what there is to know.
    package struct Completion: Sendable, Equatable {
        package let words: [UInt64]
        package var tag: UInt64 { words[0] }
        /// 0 translated, 1 fault, 2 stalled, 3 terminated, 4 refused, 16 invalidate, 17 resume, 18 message
        package var kind: Int { Int(words[1] & 0xff) }
        package var detail: Int { Int(words[1] >> 8 & 0xff) }
        package var flags: Int { Int(words[1] >> 16 & 0xffff) }
        package var extra: UInt64 { words[1] >> 32 }
    }

    package let memory: UnsafeMutableRawBufferPointer
    private let base: UnsafeMutableRawPointer
    private let descriptors: [SharedDescriptor]
    package let entries: UInt32
    package let completions: UInt32
    private let submissionsAt: Int
    private let completionsAt: Int
    package private(set) var submissionTail: UInt32 = 0
    package private(set) var completionHead: UInt32 = 0

    /// Maps what `vsmmu.ring_open` has sent.
    package init(_ descriptors: [SharedDescriptor]) throws {
        guard descriptors.count == 3 else { throw Unexpected("\(descriptors.count) descriptors") }
        self.descriptors = descriptors
        var facts = stat()
        guard fstat(descriptors[0].number, &facts) == 0,
            let address = mmap(
                nil, Int(facts.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, descriptors[0].number, 0),
            address != MAP_FAILED
        else { throw Unexpected("the ring cannot be mapped") }
        base = address
        memory = UnsafeMutableRawBufferPointer(start: address, count: Int(facts.st_size))
        guard clinux_load32(base) == 0x7273_6f69, clinux_load32(base + 4) == 1,
            clinux_load64(base + 24) == UInt64(facts.st_size)
        else { throw Unexpected("this is no ring") }
        (entries, completions) = (clinux_load32(base + 8), clinux_load32(base + 12))
        (submissionsAt, completionsAt) = (Int(clinux_load32(base + 16)), Int(clinux_load32(base + 20)))
    }

    deinit { munmap(memory.baseAddress, memory.count) }

    /// The memfd.
    package var file: Int32 { descriptors[0].number }
    /// The daemon signals it.
    package var eventfd: Int32 { descriptors[2].number }
    /// What has broken the ring: an errno.
    package var failure: UInt32 { clinux_load32(base + 0x1c0) }
    /// The daemon waits to be signalled.
    package var wantsKick: UInt32 { clinux_load32(base + 0x140) }
    /// How many submissions the daemon has taken.
    package var submissionHead: UInt32 { clinux_load32(base + 0x80) }
    /// How many completions the daemon has made.
    package var completionTail: UInt32 { clinux_load32(base + 0xc0) }

    // MARK: Submitting

    /// Whether there is room for another submission.
    package var hasRoom: Bool { submissionTail &- submissionHead < entries }

    /// Puts a submission into the queue; ``publish()`` lets the daemon have it.
    package func add(_ submission: Submission) { add(words: submission.words) }

    /// As ``add(_:)``, whatever the words say.
    package func add(words: [UInt64]) {
        let place = submissionsAt + Int(submissionTail & (entries - 1)) * 32
        for (index, word) in words.enumerated() { clinux_store64(base + place + 8 * index, word) }
        submissionTail &+= 1
    }

    package func publish() { publish(tail: submissionTail) }

    /// Says that there are submissions up to `tail`.
    package func publish(tail: UInt32) {
        clinux_store32(base + 0x40, tail)
        clinux_fence()
        if wantsKick & 1 != 0 { kick() }
    }

    package func kick() { _ = eventfd_write(descriptors[1].number, 1) }

    // MARK: Completions

    /// The next completion, taken: all that it says is known from now on.
    package func next() -> Completion? {
        guard let completion = peek() else { return nil }
        acknowledge(head: completionHead &+ 1)
        return completion
    }

    /// The next completion, which stays.
    package func peek() -> Completion? {
        guard completionTail != completionHead else { return nil }
        let place = completionsAt + Int(completionHead & (completions - 1)) * 64
        return Completion(words: (0..<8).map { clinux_load64(base + place + 8 * $0) })
    }

    /// All completions before `head` have been acted upon.
    package func acknowledge(head: UInt32) {
        completionHead = head
        clinux_store32(base + 0x100, head)
        clinux_fence()
        if wantsKick & 2 != 0 { kick() }
    }

    /// Waits until there is a completion, something to be read from another descriptor, or the time is up.
    ///
    /// - Returns: whether there is a completion.
    package func wait(or other: Int32 = -1, milliseconds: Int32 = 10_000) -> Bool {
        clinux_store32(base + 0x180, 1)
        clinux_fence()
        while completionTail == completionHead {
            var files = [pollfd(fd: eventfd, events: Int16(POLLIN), revents: 0)]
            if other >= 0 { files.append(pollfd(fd: other, events: Int16(POLLIN), revents: 0)) }
            let count = poll(&files, nfds_t(files.count), milliseconds)
            guard count > 0 else { break }
            var signals: UInt64 = 0
            if files[0].revents != 0 { _ = eventfd_read(eventfd, &signals) }
            if files.count > 1, files[1].revents != 0 { break }
        }
        return completionTail != completionHead
    }
}
