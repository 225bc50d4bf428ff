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

        var name: String {
            switch self {
            case .mappedBytes: "mapped_bytes"
            case .memoryBytes: "memory_bytes"
            case .mappings: "mappings"
            case .objects: "objects"
            case .descriptors: "descriptors"
            case .waitingAccesses: "waiting_accesses"
            }
        }
    }

    /// Whose account it is; named in refusals.
    package let uid: UInt32
    private var limits: [UInt64]
    private var used: [UInt64]

    /// - Parameter limits: what is not listed is unlimited.
    package init(uid: UInt32, limits: [Resource: UInt64] = [:]) {
        self.uid = uid
        self.limits = Resource.allCases.map { limits[$0] ?? .max }
        used = Resource.allCases.map { _ in 0 }
    }

    /// Takes effect for later charges; what is held stays held.
    package func setLimit(_ limit: UInt64, of resource: Resource) { limits[resource.rawValue] = limit }

    /// What the user's sessions hold together.
    package func used(_ resource: Resource) -> UInt64 { used[resource.rawValue] }

    /// `EDQUOT`, and nothing charged, if that would be too much.
    package func charge(_ amount: UInt64, of resource: Resource) throws(IOMMUError) {
        let index = resource.rawValue
        let (total, overflow) = used[index].addingReportingOverflow(amount)
        guard !overflow, total <= limits[index] else {
            throw IOMMUError(
                .EDQUOT, .quotaExceeded,
                "user \(uid) would hold more than \(limits[index]) \(resource.name)",
                hint: "give some back, or ask the administrator to raise limits.\(resource.name)",
                ["limit": .number(limits[index]), "used": .number(used[index]), "requested": .number(amount)]
            )
        }
        used[index] = total
    }

    /// Gives back what `charge` took.
    package func release(_ amount: UInt64, of resource: Resource) {
        let index = resource.rawValue
        assert(used[index] >= amount, "more \(resource.name) are given back than were taken")
        used[index] = used[index] >= amount ? used[index] - amount : 0
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
            hint: "give some back, or ask the administrator to raise limits.\(key)", ["limit": .number(UInt64(limit))])
    }
}
