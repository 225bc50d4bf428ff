import IOMMU

/// Who waits for a page fault's answer: a session, and the user whose session it is.
package struct StallOwner: Hashable {
    let session: ObjectIdentifier
    let uid: UInt32
    /// The part of the places that the user may hold.
    var fraction = 1.0
}

/// The places for stalls of one SMMU (IDR5.STALL_MAX), and the accesses that wait for one.
///
/// A fault may stay without an answer for ever, and a place that is taken cannot be taken back. So what is left is
/// given out the more sparingly the less it is: the last quarter to sessions that hold few places, the last sixteenth
/// to users who hold few. Whoever takes all that they get leaves others something. And no user who is not an
/// administrator gets more than a share of all.
struct StallPlaces {
    private let capacity: Int
    private var taken = 0
    private var ofSession: [ObjectIdentifier: Int] = [:]
    private var ofUser: [UInt32: Int] = [:]
    /// Held back, by session in the order of their arrival.
    private var lines: [ObjectIdentifier: Line] = [:]
    /// The sessions of `lines`, who came first first.
    private var order: [StallOwner] = []
    private var lastTicket: UInt64 = 0

    init(capacity: Int) { self.capacity = capacity }

    /// One session's accesses that wait. What no longer does stays until it is at the front.
    private struct Line {
        private var entries: [(ticket: UInt64, access: DeviceAccess)] = []
        private var head = 0

        /// The first that still waits.
        mutating func front() -> DeviceAccess? {
            while head < entries.count {
                let entry = entries[head]
                if entry.access.waits(ticket: entry.ticket) { return entry.access }
                head += 1
            }
            return nil
        }

        mutating func append(_ access: DeviceAccess, ticket: UInt64) {
            if head > 64, head > entries.count / 2 {
                entries.removeFirst(head)
                head = 0
            }
            entries.append((ticket, access))
        }

        var waiting: [DeviceAccess] {
            entries[head...].filter { $0.access.waits(ticket: $0.ticket) }.map(\.access)
        }
    }

    // MARK: Places

    /// Whether an access may take a place now: there is one for its owner, and nobody of its session waits before it.
    mutating func admits(_ access: DeviceAccess) -> Bool {
        if !lines.isEmpty, let front = lines[access.owner.session]?.front(), front !== access { return false }
        return hasPlace(for: access.owner)
    }

    private func hasPlace(for owner: StallOwner) -> Bool {
        let free = capacity - taken
        guard free > 0, !isShareUsed(by: owner) else { return false }
        if capacity > 1, free <= (capacity + 15) / 16 {
            return ofUser[owner.uid, default: 0] < (free + 3) / 4
        }
        if free <= (capacity + 3) / 4 {
            return ofSession[owner.session, default: 0] < (free + 7) / 8
        }
        return true
    }

    /// Whether the owner's user holds all that one user may.
    func isShareUsed(by owner: StallOwner) -> Bool {
        owner.fraction < 1 && held(by: owner) >= share(of: owner)
    }

    /// `EDQUOT` for an access that would need one more.
    func overShare(_ owner: StallOwner) -> IOMMUError {
        .overShare(of: "places for stalls", uid: owner.uid, limit: share(of: owner), used: held(by: owner))
    }

    private func held(by owner: StallOwner) -> UInt64 { UInt64(ofUser[owner.uid, default: 0]) }
    private func share(of owner: StallOwner) -> UInt64 { Pool.part(owner.fraction, of: UInt64(capacity)) }

    mutating func take(_ owner: StallOwner) {
        taken += 1
        ofSession[owner.session, default: 0] += 1
        ofUser[owner.uid, default: 0] += 1
    }

    mutating func giveBack(_ owner: StallOwner) {
        taken -= 1
        Self.decrease(&ofSession, owner.session)
        Self.decrease(&ofUser, owner.uid)
    }

    private static func decrease<Key>(_ counts: inout [Key: Int], _ key: Key) {
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }

    // MARK: Waiting

    /// Lets an access wait: where it was, if it does already, else behind its session's others.
    mutating func hold(_ access: DeviceAccess) {
        guard access.ticket == nil else { return }
        lastTicket += 1
        access.ticket = lastTicket
        if lines[access.owner.session] == nil { order.append(access.owner) }
        lines[access.owner.session, default: Line()].append(access, ticket: lastTicket)
    }

    /// The next to be given a place: of those who may have one, whose session holds the fewest.
    mutating func next() -> DeviceAccess? {
        guard !lines.isEmpty else { return nil }
        var best: (access: DeviceAccess, held: Int)?
        var gone: [ObjectIdentifier] = []
        for owner in order {
            guard let access = lines[owner.session]?.front() else {
                gone.append(owner.session)
                continue
            }
            let held = ofSession[owner.session, default: 0]
            if hasPlace(for: owner), best.map({ held < $0.held }) ?? true { best = (access, held) }
        }
        if !gone.isEmpty {
            for session in gone { lines[session] = nil }
            order.removeAll { lines[$0.session] == nil }
        }
        return best?.access
    }

    /// All that wait, each session's in order.
    var waiting: [DeviceAccess] { order.flatMap { lines[$0.session]?.waiting ?? [] } }

    var isNobodyWaiting: Bool { lines.isEmpty }
}
