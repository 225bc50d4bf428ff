import Glibc
import IOMMU
import LinuxIO

/// What has changed, in the order in which it did: appended in each turn of the loop before its replies leave.
///
/// Room is promised before a change is made, so that no change has to be undone because it cannot be written down.
package final class Journal {
    private let medium: any JournalMedium
    /// What is to be written, and where the file ends.
    private var current: Part
    /// The journal that is to take its place; nil: none is being made.
    private var next: Compaction?
    /// Bytes of the last state that was written as a whole.
    private var stateBytes: UInt64
    /// What it began with.
    package private(set) var head: JournalHead
    /// Starts since the head was written.
    private var startsSince: UInt32
    /// It cannot be written: what has changed since is nowhere.
    package private(set) var isBroken = false

    /// One file and what is to be written to it.
    private struct Part {
        let buffer = RecordBuffer()
        var size: UInt64 = 0
        /// Room is kept up to here.
        var room: UInt64 = 0
        /// Of records that are to come.
        var promised: UInt64 = 0

        var end: UInt64 { size + UInt64(buffer.count) + promised }
    }

    private struct Compaction {
        var part = Part()
        /// Sessions of which it has all.
        var sessions: Set<UInt64> = []
        /// Between the pieces of one: what others change meanwhile has to come after it.
        var tail: RecordBuffer?
    }

    /// Room is kept in pieces: the first, which an idle daemon has, is small.
    private static let (firstRoom, nextRoom): (UInt64, UInt64) = (64 << 10, 1 << 20)
    /// Above twice the state and this much the journal does not grow.
    private static let slack: UInt64 = 16 << 20

    /// A journal that begins now, in the place of whatever was there.
    ///
    /// - Throws: what the system says.
    package init(beginningIn medium: any JournalMedium, _ head: JournalHead) throws(SystemError) {
        (self.medium, self.head, startsSince) = (medium, head, 0)
        current = Part()
        head.write(to: current.buffer)
        stateBytes = UInt64(current.buffer.count)
        try medium.begin()
        try medium.keepRoom(.next, upTo: Self.firstRoom)
        try medium.write(.next, current.buffer.bytes, at: 0)
        try medium.publish()
        (current.size, current.room) = (UInt64(current.buffer.count), Self.firstRoom)
        current.buffer.removeAll()
    }

    /// A journal that goes on where it was read to.
    ///
    /// - Parameter starts: so many it said since its head.
    package init(
        goingOnIn medium: any JournalMedium, _ reader: JournalReader, starts: UInt32
    ) throws(SystemError) {
        (self.medium, head, startsSince) = (medium, reader.head, starts)
        current = Part()
        current.size = UInt64(reader.place)
        // What follows is a record that was never told of.
        try medium.cut(at: current.size)
        // Not how large it is, but how large it was when last written as a whole, says when to do so again.
        stateBytes = current.size / 2
    }

    /// How often the daemon has started with this state.
    package var starts: UInt32 { head.starts &+ startsSince }
    /// Bytes of the file in force.
    package var bytes: UInt64 { current.size }

    // MARK: Changes

    /// Has room kept for a record.
    ///
    /// - Parameter bytes: more than it will have.
    /// - Throws: `ENOSPC` without room, `EIO` for a journal that cannot be written.
    @inline(__always)
    package func promise(_ bytes: Int) throws(IOMMUError) {
        let needed = current.end &+ UInt64(bytes)
        if isBroken || needed > current.room { try makeRoom(needed) }
        current.promised += UInt64(bytes)
    }

    /// Nothing is written of what was promised.
    package func release(_ bytes: Int) { current.promised -= UInt64(bytes) }

    private func makeRoom(_ needed: UInt64) throws(IOMMUError) {
        guard !isBroken else { throw Self.unwritable }
        guard needed <= 2 * stateBytes + Self.slack else { throw Self.full("it is being made smaller") }
        let step = current.room == 0 && needed < Self.firstRoom ? Self.firstRoom : Self.nextRoom
        let wanted = (needed + step - 1) / step * step
        do throws(SystemError) {
            try medium.keepRoom(.inForce, upTo: wanted)
        } catch {
            // The last pages may do.
            do throws(SystemError) { try medium.keepRoom(.inForce, upTo: needed) } catch {
                throw Self.full(String(cString: strerror(error.errno)))
            }
            current.room = needed
            return
        }
        current.room = wanted
    }

    /// Writes down what was promised.
    package func append(promised bytes: Int, _ record: Record) {
        release(bytes)
        append(record)
    }

    /// Writes down something for which there is always room, because it is short.
    package func append(_ record: Record) {
        let start = current.buffer.count
        record.write(to: current.buffer)
        mirror(from: start, session: record.session)
        if case .started = record { startsSince += 1 }
    }

    /// Writes down, at once, what a kernel is about to do, since nobody could tell afterwards whether it has.
    ///
    /// - Throws: `EIO` for a journal that cannot be written: it may not be done.
    package func begin(_ change: Change, session: UInt64) throws(IOMMUError) {
        append(.begun(session: session, change))
        guard flush() else { throw Self.unwritable }
    }

    /// Writes down a mapping that was promised.
    @inline(__always)
    package func append(
        promised bytes: Int, session: UInt64, ioas: ObjectID, _ request: MapRequest, at iova: UInt64
    ) {
        release(bytes)
        let start = current.buffer.begin()
        current.buffer.putMap(session: session, ioas: ioas, request, at: iova)
        current.buffer.end(start)
        if next != nil { mirror(from: start, session: session) }
    }

    /// Writes down mappings that were promised.
    package func append(
        promised bytes: Int, session: UInt64, ioas: ObjectID, _ requests: [MapRequest], at iovas: [UInt64]
    ) {
        release(bytes)
        let start = current.buffer.begin()
        current.buffer.putMap(session: session, ioas: ioas, requests, at: iovas)
        current.buffer.end(start)
        if next != nil { mirror(from: start, session: session) }
    }

    /// What concerns the journal that is being made goes there as well.
    private func mirror(from start: Int, session: UInt64?) {
        guard let next else { return }
        if let session, !next.sessions.contains(session) { return }
        let bytes = UnsafeRawBufferPointer(rebasing: current.buffer.bytes[start...])
        (next.tail ?? next.part.buffer).put(raw: bytes)
    }

    /// Writes what has changed since the last time: one write.
    ///
    /// - Returns: false if it cannot be written: nobody may be told of what has changed.
    @inline(__always)
    package func flush() -> Bool { current.buffer.count == 0 || write() }

    private func write() -> Bool {
        guard !isBroken else { return false }
        do throws(SystemError) {
            try medium.write(.inForce, current.buffer.bytes, at: current.size)
        } catch {
            isBroken = true
            return false
        }
        current.size += UInt64(current.buffer.count)
        current.buffer.removeAll()
        return true
    }

    // MARK: Making it smaller

    /// Whether it is time to write the state as a whole.
    package var isLarge: Bool { isBroken || current.end > stateBytes + stateBytes / 2 + Self.slack / 4 }
    /// Whether that is being done.
    package var isCompacting: Bool { next != nil }

    /// Begins a journal that says what is there instead of how it came to be.
    ///
    /// - Parameter records: what comes before all sessions.
    package func beginCompaction(_ records: [Record]) throws(SystemError) {
        try medium.begin()
        let compaction = Compaction()
        JournalHead(generation: head.generation, starts: starts, backend: head.backend, boot: head.boot)
            .write(to: compaction.part.buffer)
        for record in records { record.write(to: compaction.part.buffer) }
        next = compaction
    }

    /// Takes a piece of a session.
    ///
    /// - Returns: false if it cannot be written: nothing comes of it.
    package func compact(_ records: [Record], of session: UInt64, isLast: Bool) -> Bool {
        guard var compaction = next else { return false }
        for record in records { record.write(to: compaction.part.buffer) }
        if isLast {
            compaction.sessions.insert(session)
            if let tail = compaction.tail { compaction.part.buffer.put(raw: tail.bytes) }
            compaction.tail = nil
        } else if compaction.tail == nil {
            compaction.tail = RecordBuffer()
        }
        next = compaction
        return writeNext()
    }

    /// A session that is made while this goes on is in it from the beginning.
    package func includeNew(session: UInt64) { next?.sessions.insert(session) }

    private func writeNext() -> Bool {
        guard var compaction = next, compaction.part.buffer.count > 0 else { return next != nil }
        do throws(SystemError) {
            if compaction.part.end > compaction.part.room {
                let wanted = (compaction.part.end + Self.firstRoom - 1) / Self.firstRoom * Self.firstRoom
                try medium.keepRoom(.next, upTo: wanted)
                compaction.part.room = wanted
            }
            try medium.write(.next, compaction.part.buffer.bytes, at: compaction.part.size)
        } catch {
            abandonCompaction()
            return false
        }
        compaction.part.size += UInt64(compaction.part.buffer.count)
        compaction.part.buffer.removeAll()
        next = compaction
        return true
    }

    /// The new journal takes the place of the old one. - Returns: whether it does.
    package func endCompaction() -> Bool {
        guard writeNext(), var compaction = next else { return false }
        compaction.part.promised = current.promised
        do throws(SystemError) {
            if compaction.part.end > compaction.part.room {
                try medium.keepRoom(.next, upTo: compaction.part.end)
                compaction.part.room = compaction.part.end
            }
            try medium.publish()
        } catch {
            abandonCompaction()
            return false
        }
        (head.starts, startsSince) = (starts, 0)
        (current, next, stateBytes, isBroken) = (compaction.part, nil, compaction.part.size, false)
        return true
    }

    /// Nothing comes of it.
    package func abandonCompaction() {
        guard next != nil else { return }
        next = nil
        medium.abandon()
    }

    // MARK: Refusals

    /// `EIO`: it cannot be written.
    package static var unwritable: IOMMUError {
        IOMMUError(
            .EIO, .stateUnwritable, "what outlives the daemon cannot be written down at the moment",
            hint: "try again later, or go on in a private session, which does not outlive the daemon")
    }

    private static func full(_ why: String) -> IOMMUError {
        IOMMUError(
            .ENOSPC, .stateFull, "the state directory has no room for what outlives the daemon: \(why)",
            hint: "try again later, make room there, or go on in a private session")
    }
}

extension Record {
    /// The session without which it means nothing; nil: it is for every journal, as the end of one half written is.
    fileprivate var session: UInt64? {
        switch self {
        case .sessionMade(let facts): facts.serial
        case .change(let session, _, _): session
        case .begun(let session, _), .withdrawn(let session): session
        case .started, .sessionClosed, .deviceAdded, .deviceRemoved, .moved: nil
        }
    }
}
