/// What one user's sessions hold together. Every session of the user charges the same account.
package final class Account {
    /// What is counted.
    package enum Resource: Int, CaseIterable, Sendable {
        /// Bytes mapped in IOASes.
        case mappedBytes
        /// Bytes of memory objects that the daemon created.
        case memoryBytes
        case mappings
        /// Objects of every kind.
        case objects
        /// File descriptors that the daemon holds: connections, memory objects, address spaces of processes.
        case descriptors
        /// Accesses of devices that are under way: they can wait for a page fault's answer, or for a process's pages.
        case waitingAccesses
        /// Events that the user's subscribers have not been sent.
        case waitingEvents

        /// As in `[limits]` of the configuration.
        package var name: String {
            switch self {
            case .mappedBytes: "mapped_bytes"
            case .memoryBytes: "memory_bytes"
            case .mappings: "mappings"
            case .objects: "objects"
            case .descriptors: "descriptors"
            case .waitingAccesses: "waiting_accesses"
            case .waitingEvents: "waiting_events"
            }
        }
    }

    /// Whose account it is; named in refusals.
    package let uid: UInt32
    private var limits: [UInt64]
    private var used: [UInt64]
    /// What the user holds of pools, by pool.
    private var shares: [ObjectIdentifier: PoolShare] = [:]
    /// Of which pools descriptors and bytes of memory objects are.
    private let descriptors: PoolShare?
    private let memory: PoolShare?
    /// The part of any pool that the user may hold, unless an administrator: 1 is all.
    package private(set) var fraction = 1.0
    /// Whatever is charged is granted: it was before.
    private var grantsAll = false
    /// The user has shown to be one: nothing of a pool is kept from administrators.
    package private(set) var isAdministrator = false

    /// - Parameters:
    ///   - limits: what is not listed is unlimited.
    ///   - descriptors: the pool that descriptors come from, if they are limited for everybody together.
    ///   - memory: the pool that bytes of memory objects come from, likewise.
    package init(
        uid: UInt32, limits: [Resource: UInt64] = [:], descriptors: Pool? = nil, memory: Pool? = nil
    ) {
        self.uid = uid
        self.limits = Resource.allCases.map { limits[$0] ?? .max }
        used = Resource.allCases.map { _ in 0 }
        self.descriptors = descriptors.map { PoolShare(of: $0, uid: uid) }
        self.memory = memory.map { PoolShare(of: $0, uid: uid) }
        for share in [self.descriptors, self.memory].compactMap({ $0 }) { shares[ObjectIdentifier(share.pool)] = share }
    }

    /// Takes effect for later charges; what is held stays held.
    package func setLimit(_ limit: UInt64, of resource: Resource) { limits[resource.rawValue] = limit }

    /// What the user's sessions hold together.
    package func used(_ resource: Resource) -> UInt64 { used[resource.rawValue] }

    /// `EDQUOT`, and nothing charged, if that would be too much.
    package func charge(_ amount: UInt64, of resource: Resource) throws(IOMMUError) {
        let index = resource.rawValue
        let (total, overflow) = used[index].addingReportingOverflow(amount)
        guard !overflow, total <= limits[index] || grantsAll else { throw refusal(of: amount, resource) }
        if let share = share(of: resource) { try share.take(amount) }
        used[index] = total
    }

    /// The user's part of what is limited for everybody together, too.
    @inline(__always)
    private func share(of resource: Resource) -> PoolShare? {
        resource == .descriptors ? descriptors : resource == .memoryBytes ? memory : nil
    }

    /// As ``charge(_:of:)``; false, and nothing charged, where that would refuse.
    ///
    /// - Parameter always: charged beyond the limits, too, where somebody else bounds it.
    package func take(_ amount: UInt64, of resource: Resource, always: Bool = false) -> Bool {
        let total = used[resource.rawValue] &+ amount
        guard always || total <= limits[resource.rawValue] else { return false }
        if let share = share(of: resource), !share.take(amount, always: always) { return false }
        used[resource.rawValue] = total
        return true
    }

    private func refusal(of amount: UInt64, _ resource: Resource) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .quotaExceeded, "user \(uid) would hold more than \(limits[resource.rawValue]) \(resource.name)",
            hint: "give some back, or ask the administrator to raise limits.\(resource.name)",
            [
                "key": .text("limits.\(resource.name)"), "limit": .number(limits[resource.rawValue]),
                "used": .number(used[resource.rawValue]), "requested": .number(amount),
            ])
    }

    /// Gives back what `charge` took.
    package func release(_ amount: UInt64, of resource: Resource) {
        let index = resource.rawValue
        assert(used[index] >= amount, "more \(resource.name) are given back than were taken")
        used[index] = used[index] >= amount ? used[index] - amount : 0
        if let share = share(of: resource) { share.giveBack(amount) }
    }

    /// The user holds nothing.
    package var isEmpty: Bool { used.allSatisfy { $0 == 0 } && shares.values.allSatisfy { $0.used == 0 } }

    // MARK: Pools

    /// What the user holds of a pool; to be looked up once and kept.
    package func share(of pool: Pool) -> PoolShare {
        if let known = shares[ObjectIdentifier(pool)] { return known }
        let share = PoolShare(of: pool, uid: uid)
        share.apply(fraction: fraction, isAdministrators: isAdministrator || grantsAll)
        shares[ObjectIdentifier(pool)] = share
        return share
    }

    /// Everything that the user holds of pools.
    package var poolShares: [PoolShare] { shares.values.filter { $0.used > 0 }.sorted { $0.pool.name < $1.pool.name } }

    /// What of a number of things the user may hold.
    package func part(of capacity: UInt64) -> UInt64 {
        isAdministrator ? .max : Pool.part(fraction, of: capacity)
    }

    /// The part of every pool that the user may hold. Takes effect for what is taken later; what is held stays held.
    package func setFraction(_ fraction: Double) {
        self.fraction = fraction
        applyShares()
    }

    /// The user is an administrator from now on.
    package func makeAdministrator() {
        guard !isAdministrator else { return }
        isAdministrator = true
        applyShares()
    }

    /// Grants whatever is charged, beyond all limits, while what was there before a restart is made again.
    package func grantAll(_ grants: Bool) {
        grantsAll = grants
        applyShares()
    }

    private func applyShares() {
        for share in shares.values {
            share.apply(fraction: fraction, isAdministrators: isAdministrator || grantsAll)
        }
    }
}

/// Bounds on what a single context can make the daemon hold.
package struct ContextLimits: Sendable {
    /// Objects of every kind.
    package var objects = 65_536
    /// Mappings, in all IOASes together.
    package var mappings = 4_194_304
    /// Bytes of one memory object.
    package var memorySize: UInt64 = 1 << 42
    /// Bytes that one `memory.read`, `dma.read` or the like moves.
    package var transfer: UInt64 = 512 << 10
    /// Fault groups that wait in one fault queue.
    package var faultQueueDepth = 4096
    /// Bare SMMUs.
    package var vsmmus = 16
    /// Bonds.
    package var bonds = 65_536
    /// Accelerator queues.
    package var queues = 4096

    /// The defaults.
    package init() {}
}

extension IOMMUError {
    /// `EDQUOT`: something would hold more than one of the ``ContextLimits``.
    ///
    /// - Parameter key: the limit's name in `[limits]`.
    package static func overLimit(
        _ limit: Int, of things: String, in holder: String = "this session", key: String
    ) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .quotaExceeded, "\(holder) would hold more than \(limit) \(things)",
            hint: "give some back, or ask the administrator to raise limits.\(key)",
            ["key": .text("limits.\(key)"), "limit": .number(UInt64(limit))])
    }
}
