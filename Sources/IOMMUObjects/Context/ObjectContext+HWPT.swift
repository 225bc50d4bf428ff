import IOMMU
import LinuxIO

extension ObjectContext {
    private static let pagingFlags: [HWPTFlags] = [
        [], .nestParent, .dirtyTracking, .pasid, [.dirtyTracking, .pasid],
    ]

    /// `IOMMU_HWPT_ALLOC`: fully formed and linked to its IOAS.
    ///
    /// - Throws: `ENOENT`, `ENODEV`; `EINVAL` for an unknown or unfit `pt`, `EOPNOTSUPP` for flags and data that do not
    ///   go together, `EIO` for an illegal stage 1 of a guest, `EADDRINUSE`, `ENOSPC`, `ENOMEM`, `EDQUOT`.
    package func allocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> ObjectID {
        let device = try device(request.device)
        guard let target = table[request.pt] else { throw AttachRules.unknownPT(request.pt, .EINVAL) }
        let faultQueue = try faultQueue(of: request)
        switch target {
        case let ioas as IOAS:
            try checkPaging(request, on: device)
            return try makeHWPT(
                over: ioas, by: device.driver, flags: request.flags, faultQueue: faultQueue, isAutomatic: false
            ).id
        case let viommu as VIOMMU:
            return try makeNested(in: viommu, for: device, request, faultQueue)
        case is PagingHWPT:
            throw IOMMUError(
                .EOPNOTSUPP, .nestThroughViommu,
                "hwpt \(request.pt) cannot be nested in directly: an SMMUv3 nests through a viommu",
                hint: "call viommu.alloc on that hwpt, then hwpt.alloc with the viommu as pt",
                ["pt": .number(UInt64(request.pt))])
        default:
            throw AttachRules.wrongKind(target)
        }
    }

    private func faultQueue(of request: HWPTRequest) throws(IOMMUError) -> FaultQueue? {
        guard let fault = request.fault else { return nil }
        return try table.object(fault, .fault, as: FaultQueue.self)
    }

    /// As ``allocateHWPT(_:)`` over an IOAS, but without its mappings.
    func makeEmptyHWPT(_ request: HWPTRequest, over ioas: IOAS) throws(IOMMUError) -> PagingHWPT {
        let device = try device(request.device)
        let faultQueue = try faultQueue(of: request)
        try checkPaging(request, on: device)
        return try makeEmptyHWPT(
            over: ioas, by: device.driver, flags: request.flags, faultQueue: faultQueue, isAutomatic: false)
    }

    private func checkPaging(_ request: HWPTRequest, on device: Device) throws(IOMMUError) {
        let traits = device.driver.traits
        if request.vste != nil {
            throw unsupported(
                .dataWithoutViommu, "a table over ioas \(request.pt) takes no data", request,
                hint: "leave data out, or name a viommu as pt for a nested stage 1")
        }
        guard Self.pagingFlags.contains(request.flags) else {
            throw unsupported(
                .flagsUnsupported, "a table over ioas \(request.pt) cannot combine these flags", request,
                hint: "give nest_parent alone; dirty_tracking and pasid may be combined")
        }
        if request.flags.contains(.nestParent), request.fault != nil {
            throw unsupported(
                .flagsUnsupported, "a nest parent over ioas \(request.pt) reports no page faults", request,
                hint: "leave fault out")
        }
        if request.flags.contains(.nestParent), !traits.hasNesting {
            throw unsupported(
                .noNesting, "\(device.driver.name) does not have both stages of translation", request,
                hint: "leave the flag nest_parent out, or take a device behind another SMMU"
            ).with("smmu", .text(device.driver.name))
        }
        if request.flags.contains(.dirtyTracking), !traits.hasDirtyTracking {
            throw unsupported(
                .noDirtyTracking, "\(device.driver.name) does not keep dirty state", request,
                hint: "leave the flag dirty_tracking out, or take a device behind another SMMU"
            ).with("smmu", .text(device.driver.name))
        }
        if request.flags.contains(.pasid), traits.pasidBits == 0 {
            throw unsupported(
                .noPASID, "\(device.driver.name) has no PASIDs", request,
                hint: "leave the flag pasid out, or take a device behind another SMMU"
            ).with("smmu", .text(device.driver.name))
        }
    }

    private func unsupported(
        _ reason: Reason, _ message: String, _ request: HWPTRequest, hint: String
    ) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, reason, message, hint: hint,
            ["pt": .number(UInt64(request.pt)), "flags": .number(UInt64(request.flags.rawValue))])
    }

    /// A fully formed hwpt, linked to its IOAS with every present mapping in it.
    ///
    /// - Throws: `EADDRINUSE` for a mapping that it cannot translate, `ENOMEM`, `ENOSPC`, `EDQUOT`.
    func makeHWPT(
        over ioas: IOAS, by driver: any TranslationDriver, flags: HWPTFlags, faultQueue: FaultQueue?, isAutomatic: Bool
    ) throws(IOMMUError) -> PagingHWPT {
        let hwpt = try makeEmptyHWPT(
            over: ioas, by: driver, flags: flags, faultQueue: faultQueue, isAutomatic: isAutomatic)
        do {
            try ioas.checkMappings(areMultiplesOf: ioas.requiredAlignment(with: hwpt.domain))
            try ioas.check(Reservation.outside(hwpt.domain.aperture, owner: hwpt))
            try populate(hwpt.domain, from: ioas)
        } catch {
            discard(hwpt)
            throw error
        }
        enlist(hwpt)
        return hwpt
    }

    /// One without any mapping, which nobody knows of: ``enlist(_:)`` or ``discard(_:)`` follows.
    func makeEmptyHWPT(
        over ioas: IOAS, by driver: any TranslationDriver, flags: HWPTFlags, faultQueue: FaultQueue?, isAutomatic: Bool
    ) throws(IOMMUError) -> PagingHWPT {
        try chargeObject()
        do {
            return PagingHWPT(
                ioas: ioas, driver: driver, domain: try driver.makeDomain(flags, for: account), flags: flags,
                isAutomatic: isAutomatic, faultQueue: faultQueue)
        } catch {
            releaseObject()
            throw error
        }
    }

    /// It follows its IOAS from now on, whose mappings it has.
    func enlist(_ hwpt: PagingHWPT) {
        enter(hwpt)
        hwpt.ioas.link(hwpt)
    }

    /// It has never been of use.
    func discard(_ hwpt: PagingHWPT) {
        free(hwpt)
        hwpt.release()
        releaseObject()
    }

    /// Its tables: at once, or in pieces where there are many and somebody sees to it.
    private func free(_ hwpt: PagingHWPT) {
        hwpt.isReleased = true
        if buriesLater, hwpt.ioas.isLarge(longestAtOnce) { graves.append(hwpt.domain) } else { hwpt.domain.destroy() }
    }

    private func populate(_ domain: any TranslationDomain, from ioas: IOAS) throws(IOMMUError) {
        var position = ioas.areas.first(endingAtOrAfter: 0)
        while let current = position {
            let area = current.area
            let physical = memories.location(of: area.memory) &+ area.offset
            try domain.map(
                iova: area.start, pa: physical, length: area.length, access: area.access, hugePages: ioas.usesHugePages)
            position = current.next
        }
    }

    // MARK: Destruction

    /// Nothing uses it any more.
    func release(_ hwpt: HWPT) {
        table.remove(hwpt)
        if let paging = hwpt as? PagingHWPT {
            paging.ioas.unlink(paging)
            free(paging)
        }
        hwpt.release()
        releaseObject()
    }

    // MARK: Dirty tracking

    private func pagingHWPT(_ id: ObjectID) throws(IOMMUError) -> PagingHWPT {
        let hwpt = try table.object(id, .hwpt, as: PagingHWPT.self)
        guard hwpt.flags.contains(.dirtyTracking) else {
            throw IOMMUError(
                .EOPNOTSUPP, .noDirtyTracking, "hwpt \(id) was not allocated for dirty tracking",
                hint: "allocate it with the flag dirty_tracking", ["hwpt": .number(UInt64(id))])
        }
        return hwpt
    }

    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`. `ENOENT`; `EOPNOTSUPP` if it was not allocated for it.
    package func setDirtyTracking(hwpt id: ObjectID, enabled: Bool) throws(IOMMUError) {
        let hwpt = try pagingHWPT(id)
        try hwpt.domain.setDirtyTracking(enabled)
        hwpt.isTrackingDirty = enabled
    }

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`, where a hole is refused instead of ending the answer.
    ///
    /// - Throws: `ENOENT`, `EOPNOTSUPP`; `EINVAL` for misalignment, page sizes that are no powers of two and holes,
    ///   `EOVERFLOW`, `EMSGSIZE`. Then nothing is cleared.
    package func dirtyBitmap(
        hwpt id: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64) {
        let hwpt = try pagingHWPT(id)
        let target = DirtyRequest.Target(
            hwpt: id, ioas: hwpt.ioas.id, alignment: hwpt.ioas.alignment, areas: hwpt.ioas.areas)
        let bytes = try request.bitmapBytes(of: target, atMost: limits.transfer)
        var bitmap = [UInt8](repeating: 0, count: Int(bytes))
        let dirty = try hwpt.domain.readDirty(
            iova: request.iova, length: request.length, pageSize: request.pageSize, clear: request.clear, into: &bitmap)
        return (bitmap, dirty)
    }
}
