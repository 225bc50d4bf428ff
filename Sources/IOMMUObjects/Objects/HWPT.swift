import IOMMU

/// A hardware page table: what a device can be attached to.
package class HWPT: SessionObject {
    /// The driver of the devices that it is for.
    let driver: any TranslationDriver
    /// Where page faults of what is attached go; nil: they fail the access.
    let faultQueue: FaultQueue?
    /// How many (device, PASID) pairs are attached to it.
    var attachedCount = 0

    init(driver: any TranslationDriver, faultQueue: FaultQueue?) {
        self.driver = driver
        self.faultQueue = faultQueue
        super.init(.hwpt)
        faultQueue?.hwptCount += 1
    }

    /// The table that follows an IOAS: itself, or the stage 2 below.
    var paging: PagingHWPT { preconditionFailure("every kind of hwpt says so") }
    /// How the driver is told to attach a device to it.
    var target: TranslationTarget { preconditionFailure("every kind of hwpt says so") }
    var isNested: Bool { false }

    /// One more or one fewer (device, PASID) uses it.
    func attachmentsChanged(by count: Int) { attachedCount += count }

    /// Gives back what the driver holds for it. Nothing refers to it any more.
    func release() { faultQueue?.hwptCount -= 1 }
}

/// One hardware table that follows an IOAS.
package final class PagingHWPT: HWPT {
    let ioas: IOAS
    let domain: any TranslationDomain
    /// Made by an attach to the IOAS, and gone with its last device.
    let isAutomatic: Bool
    let flags: HWPTFlags
    /// Dirty pages are being recorded.
    var isTrackingDirty = false
    /// Among the hwpts of its IOAS.
    var place = 0
    /// Its domain goes, or is gone.
    var isReleased = false
    /// Nested attachments that pass through it, viommus on it.
    var nestedAttachedCount = 0
    var viommuCount = 0

    init(
        ioas: IOAS, driver: any TranslationDriver, domain: any TranslationDomain, flags: HWPTFlags,
        isAutomatic: Bool, faultQueue: FaultQueue?
    ) {
        self.ioas = ioas
        self.domain = domain
        self.flags = flags
        self.isAutomatic = isAutomatic
        super.init(driver: driver, faultQueue: faultQueue)
    }

    /// Enters a mapping of the IOAS in the tables.
    ///
    /// - Throws: as ``TranslationDomain/map(iova:pa:length:access:hugePages:)``; then nothing has changed.
    func map(_ area: Area, physical: UInt64, hugePages: Bool) throws(IOMMUError) {
        try domain.map(
            iova: area.start, pa: physical, length: area.length, access: area.access, hugePages: hugePages)
    }

    override var paging: PagingHWPT { self }
    override var target: TranslationTarget { .domain(domain, faults: faultQueue != nil) }
    package override var users: Int { attachedCount + nestedAttachedCount + viommuCount }
    override var references: [SessionObject] { faultQueue.map { [ioas, $0] } ?? [ioas] }

    override var state: [IOMMUError.Member] {
        var names: [String] = []
        if flags.contains(.nestParent) { names.append("nest_parent") }
        if flags.contains(.dirtyTracking) { names.append("dirty_tracking") }
        if flags.contains(.pasid) { names.append("pasid") }
        return [
            .init("smmu", .text(driver.name)),
            .init("stage", .number(UInt64(domain.stage))),
            .init("automatic", .flag(isAutomatic)),
            .init("flags", .text(names.joined(separator: ","))),
            .init("attached", .number(UInt64(attachedCount))),
        ]
    }
}

/// A guest's stage 1 over the stage 2 of its viommu.
package final class NestedHWPT: HWPT {
    let viommu: VIOMMU
    let domain: any NestedTranslation
    /// Words 0 and 1 of the guest's STE.
    let vste: (UInt64, UInt64)

    init(viommu: VIOMMU, domain: any NestedTranslation, vste: (UInt64, UInt64), faultQueue: FaultQueue?) {
        self.viommu = viommu
        self.domain = domain
        self.vste = vste
        super.init(driver: viommu.hwpt.driver, faultQueue: faultQueue)
        viommu.nestedCount += 1
    }

    override var paging: PagingHWPT { viommu.hwpt }
    override var target: TranslationTarget { .nested(domain, faults: faultQueue != nil) }
    override var isNested: Bool { true }
    package override var users: Int { attachedCount }
    override var references: [SessionObject] { faultQueue.map { [viommu, $0] } ?? [viommu] }

    override var state: [IOMMUError.Member] {
        [
            .init("smmu", .text(driver.name)),
            .init("stage", .text("nested")),
            .init("ste", .words([vste.0, vste.1])),
            .init("attached", .number(UInt64(attachedCount))),
        ]
    }

    override func attachmentsChanged(by count: Int) {
        super.attachmentsChanged(by: count)
        viommu.hwpt.nestedAttachedCount += count
    }

    override func release() {
        viommu.nestedCount -= 1
        super.release()
    }
}
