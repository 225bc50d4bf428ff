import IOMMU

/// What a device, or one of its PASIDs, is to translate through.
package enum AttachTarget {
    /// All DMA is terminated.
    case blocked
    /// - faults: misses wait for software (stall or PRI) where the device can.
    case paging(PagingDomain, faults: Bool)
    case nested(NestedDomain, faults: Bool)
    /// Only for a PASID.
    case sva(SVADomain)

    /// Misses may wait for software (STE.S1STALLD = 0 or CD.S = 1; page requests).
    package var allowsFaults: Bool {
        switch self {
        case .blocked: false
        case .paging(_, let faults), .nested(_, let faults): faults
        case .sva: true
        }
    }

    /// The same domain, and faults handled alike.
    func isSame(as other: AttachTarget) -> Bool {
        switch (self, other) {
        case (.blocked, .blocked): true
        case (.paging(let left, let faults), .paging(let right, let others)): left === right && faults == others
        case (.nested(let left, let faults), .nested(let right, let others)): left === right && faults == others
        case (.sva(let left), .sva(let right)): left === right
        default: false
        }
    }

    /// Whether nothing is attached.
    package var isBlocked: Bool {
        if case .blocked = self { return true }
        return false
    }

    /// The page table, if it is one of the host alone.
    package var pagingDomain: PagingDomain? {
        if case .paging(let domain, _) = self { return domain }
        return nil
    }

    /// The guest's stage 1, if it is one.
    package var nestedDomain: NestedDomain? {
        if case .nested(let domain, _) = self { return domain }
        return nil
    }

    /// The address space of a process, if it is one.
    package var svaDomain: SVADomain? {
        if case .sva(let domain) = self { return domain }
        return nil
    }
}

/// How a paging domain translates.
package enum PagingKind: Sendable, Equatable {
    case stage1
    case stage2
    /// Stage 2 below guests' stage 1.
    case nestParent
}
