import IOMMU

/// One device as the driver sees it: its streams, its CD table, and what it is attached to.
package final class Master {
    /// The driver of its SMMU.
    package unowned let driver: SMMUDriver
    /// The streams of its accesses; all have the same STE.
    package let streamIDs: [UInt32]
    /// 0: no PASIDs.
    package let pasidBits: Int
    /// Its accesses wait for missing pages.
    package let canStall: Bool
    /// It asks for missing pages itself.
    package let canPRI: Bool
    /// It keeps translations of its own.
    package let canATS: Bool
    /// A number for whoever keeps devices; nil before it has given one.
    package var owner: Int?
    /// The device's ATS capability is on now.
    package internal(set) var isATSEnabled = false
    /// What transactions without a PASID go through.
    package internal(set) var attachment = AttachTarget.blocked
    /// What each attached PASID goes through.
    package internal(set) var pasidAttachments: [UInt32: AttachTarget] = [:]
    /// Made at the first stage 1.
    var contexts: ContextTables?
    /// The STEs point at the CD table.
    var usesContexts = false

    init(driver: SMMUDriver, streamIDs: [UInt32], pasidBits: Int, stall: Bool, pri: Bool, ats: Bool) {
        (self.driver, self.streamIDs, self.pasidBits) = (driver, streamIDs, pasidBits)
        (canStall, canPRI, canATS) = (stall, pri, ats)
    }

    /// What a PASID, or the device itself, goes through.
    package func attachment(pasid: UInt32?) -> AttachTarget {
        guard let pasid else { return attachment }
        return pasidAttachments[pasid] ?? .blocked
    }

    /// What accesses with a PASID, or without one, go through: those of a guest's own PASIDs its stage 1.
    package func translation(pasid: UInt32?) -> AttachTarget {
        if let pasid, pasidAttachments[pasid] == nil, attachment.nestedDomain == nil { return .blocked }
        return pasid.flatMap { pasidAttachments[$0] } ?? attachment
    }

    /// The device can wait for pages.
    package var canFault: Bool { canStall || (canPRI && canATS) }
}
