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
        let faultQueue: FaultQueue?
        if let fault = request.fault {
            faultQueue = try table.object(fault, .fault, as: FaultQueue.self)
        } else {
            faultQueue = nil
        }
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
                .EOPNOTSUPP, .nestThroughViommu, "an SMMUv3 nests only through a viommu",
                hint: "viommu.alloc on that hwpt, then hwpt.alloc with the viommu as pt",
                ["pt": .number(UInt64(request.pt))])
        default:
            throw AttachRules.wrongKind(target)
        }
    }

    private func checkPaging(_ request: HWPTRequest, on device: Device) throws(IOMMUError) {
        let traits = device.driver.traits
        if request.vste != nil {
            throw unsupported(
                .dataWithoutViommu, "a table over an IOAS takes no data", request,
                hint: "a nested stage 1 has a viommu as pt")
        }
        guard Self.pagingFlags.contains(request.flags) else {
            throw unsupported(
                .flagsUnsupported, "this combination of flags is not possible", request,
                hint: "nest_parent stands alone; dirty_tracking and pasid may be combined")
        }
        if request.flags.contains(.nestParent), request.fault != nil {
            throw unsupported(
                .flagsUnsupported, "a nest parent reports no page faults", request,
                hint: "leave fault out")
        }
        if request.flags.contains(.nestParent), !traits.hasNesting {
            throw unsupported(.noNesting, "\(device.driver.name) does not implement both stages", request)
        }
        if request.flags.contains(.dirtyTracking), !traits.hasDirtyTracking {
            throw unsupported(.noDirtyTracking, "\(device.driver.name) does not keep dirty state", request)
        }
        if request.flags.contains(.pasid), traits.pasidBits == 0 {
            throw unsupported(.noPASID, "\(device.driver.name) has no substreams", request)
        }
    }

    private func unsupported(
        _ reason: Reason, _ message: String, _ request: HWPTRequest, hint: String? = nil
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
        try chargeObject()
        let domain: any TranslationDomain
        do {
            domain = try driver.makeDomain(flags)
        } catch {
            releaseObject()
            throw error
        }
        let hwpt: PagingHWPT
        do {
            try ioas.checkMappings(areMultiplesOf: ioas.requiredAlignment(with: domain))
            try ioas.check(Reservation.outside(domain.aperture, owner: domain))
            try populate(domain, from: ioas)
            hwpt = PagingHWPT(
                ioas: ioas, driver: driver, domain: domain, flags: flags, isAutomatic: isAutomatic,
                faultQueue: faultQueue)
        } catch {
            domain.destroy()
            releaseObject()
            throw error
        }
        table.insert(hwpt)
        ioas.link(hwpt)
        ioas.add(Reservation.outside(domain.aperture, owner: hwpt))
        return hwpt
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
            paging.domain.destroy()
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
        try pagingHWPT(id).domain.setDirtyTracking(enabled)
    }

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`, where a hole is refused instead of ending the answer.
    ///
    /// - Throws: `ENOENT`, `EOPNOTSUPP`; `EINVAL` for misalignment, page sizes that are no powers of two and holes,
    ///   `EOVERFLOW`, `EMSGSIZE`. Then nothing is cleared.
    package func dirtyBitmap(
        hwpt id: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64) {
        let hwpt = try pagingHWPT(id)
        func refusal(_ errno: Errno, _ reason: Reason, _ message: String, hint: String? = nil) -> IOMMUError {
            hwpt.ioas.refusal(errno, reason, message, request.iova, request.length, hint: hint)
                .with("hwpt", .number(UInt64(id))).with("page_size", .hex(request.pageSize))
        }
        guard request.pageSize.nonzeroBitCount == 1 else {
            throw refusal(.EINVAL, .badPageSize, "a page size is a power of two")
        }
        guard request.length > 0, (request.iova | request.length) & (request.pageSize - 1) == 0 else {
            throw refusal(.EINVAL, .misaligned, "iova and length have to be multiples of page_size, and length not 0")
        }
        guard (request.iova | request.length) & (hwpt.ioas.alignment - 1) == 0 else {
            throw refusal(
                .EINVAL, .misaligned, "iova and length have to be multiples of \(hwpt.ioas.alignment) bytes",
                hint: "page_size may be smaller; ioas.iova_ranges tells the alignment"
            ).with("alignment", .hex(hwpt.ioas.alignment))
        }
        guard let range = AddressRange(start: request.iova, length: request.length) else {
            throw refusal(.EOVERFLOW, .iovaOverflow, "the range wraps at the end of the address space")
        }
        let bytes = (request.length / request.pageSize - 1) / 8 + 1
        guard bytes <= limits.transfer else {
            throw refusal(.EMSGSIZE, .transferTooLarge, "the bitmap would have more than \(limits.transfer) bytes")
        }
        guard isContiguous(hwpt.ioas, range) else {
            throw refusal(
                .EINVAL, .notMapped, "part of the range is not mapped",
                hint: "ask for each mapping of its own; ioas.mappings lists them")
        }
        var bitmap = [UInt8](repeating: 0, count: Int(bytes))
        let dirty = try hwpt.domain.readDirty(
            iova: request.iova, length: request.length, pageSize: request.pageSize, clear: request.clear, into: &bitmap)
        return (bitmap, dirty)
    }

    private func isContiguous(_ ioas: IOAS, _ range: AddressRange) -> Bool {
        var next = range.start
        var position = ioas.areas.first(endingAtOrAfter: next)
        while let current = position, current.start <= next {
            guard current.last < range.last else { return true }
            next = current.last + 1
            position = current.next
        }
        return false
    }
}
