import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

extension KernelContext {
    /// What is pinned or given back on the loop's own thread, in bytes: 16 pages. More goes to a worker.
    static let shortLength: UInt64 = 16 * 4096

    private static let hugePages: UInt32 = 1

    func ioas(_ id: ObjectID) throws(IOMMUError) -> KernelIOAS { try table.object(id, .ioas, as: KernelIOAS.self) }

    /// `IOMMU_IOAS_ALLOC`
    package func allocateIOAS() throws(IOMMUError) -> ObjectID {
        let handle = try handle()
        try charge()
        var argument = clinux_iommu_ioas_alloc()
        do throws(KernelFailure) {
            try handle.perform(IOMMUFD.ioasAlloc, &argument)
        } catch {
            store.releaseObject()
            throw error.refusal()
        }
        enter(KernelIOAS(id: argument.out_ioas_id))
        return argument.out_ioas_id
    }

    // MARK: Map

    /// `IOMMU_IOAS_MAP_FILE`, before 6.13 `IOMMU_IOAS_MAP` of the daemon's own mapping of the file.
    package func map(ioas id: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64 {
        try store.checkRequest(request, ioas: id)
        let ioas = try ioas(id)
        let mapping = try prepare(request, in: ioas)
        let handle = try handle()
        try store.chargeMappings(1, bytes: request.length)
        do throws(KernelFailure) {
            let iova = try handle.map(mapping)
            enter(request, at: iova, in: ioas)
            return iova
        } catch {
            throw give(back: error, of: request, in: ioas)
        }
    }

    /// ``map(ioas:_:)``, on a worker above 16 pages: the kernel pins each of them.
    package func beginMap(ioas id: ObjectID, _ request: MapRequest) throws(IOMMUError) -> Answer<UInt64> {
        guard request.length > Self.shortLength else { return .now(try map(ioas: id, request)) }
        try store.checkRequest(request, ioas: id)
        let ioas = try ioas(id)
        let mapping = try prepare(request, in: ioas)
        let handle = try handle()
        try store.chargeMappings(1, bytes: request.length)
        return later(
            Work(work: { Result { () throws(KernelFailure) in try handle.map(mapping) } }) { [self] result in
                switch result {
                case .success(let iova):
                    enter(request, at: iova, in: ioas)
                    return .success(iova)
                case .failure(let failure): return .failure(give(back: failure, of: request, in: ioas))
                }
            })
    }

    /// What the kernel is laxer about, or would say only later: rights, and bytes that the memory does not have.
    func prepare(_ request: MapRequest, in ioas: KernelIOAS) throws(IOMMUError) -> KernelHandle.Mapping {
        if let mm = request.mm { throw .callersMemoryOnly(mm: mm) }
        let memory = try store.memory(request.memory)
        try store.checkRights(memory, request, ioas: ioas.id)
        try store.checkRange(of: memory, id: request.memory, offset: request.offset, length: request.length)
        return KernelHandle.Mapping(
            ioas: ioas.id, source: try source(memory, id: request.memory, offset: request.offset),
            length: request.length, access: request.access, iova: request.iova)
    }

    /// The kernel has made the mapping.
    func enter(_ request: MapRequest, at iova: UInt64, in ioas: KernelIOAS) {
        enter(
            Area(
                start: iova, last: iova &+ (request.length &- 1), offset: request.offset, memory: request.memory,
                access: request.access), in: ioas)
    }

    func enter(_ area: Area, in ioas: KernelIOAS) {
        let other = ioas.areas.insert(area)
        assert(other == nil, "the kernel has mapped over a mapping")
        store.memories[area.memory]?.mappings += 1
    }

    private func give(back failure: KernelFailure, of request: MapRequest, in ioas: KernelIOAS) -> IOMMUError {
        store.releaseMappings(1, bytes: request.length)
        return refusal(failure, of: request, in: ioas)
    }

    // MARK: Options and queries

    /// `IOMMU_IOAS_IOVA_RANGES`, asked anew each time: every attach changes them.
    package func iovaRanges(ioas id: ObjectID) throws(IOMMUError) -> (ranges: [AddressRange], alignment: UInt64) {
        _ = try ioas(id)
        let handle = try handle()
        do throws(KernelFailure) { return try handle.iovaRanges(ioas: id) } catch { throw error.refusal() }
    }

    /// `IOMMU_IOAS_ALLOW_IOVAS`
    package func allowIOVAs(ioas id: ObjectID, ranges: [AddressRange]) throws(IOMMUError) {
        _ = try ioas(id)
        let handle = try handle()
        let list = ranges.map { clinux_iommu_iova_range(start: $0.start, last: $0.last) }
        var argument = clinux_iommu_ioas_allow_iovas()
        (argument.ioas_id, argument.num_iovas) = (id, UInt32(clamping: list.count))
        var failure: KernelFailure?
        list.withUnsafeBytes { buffer in
            argument.allowed_iovas = list.isEmpty ? 0 : UInt64(UInt(bitPattern: buffer.baseAddress))
            do throws(KernelFailure) { try handle.perform(IOMMUFD.ioasAllowIOVAs, &argument) } catch { failure = error }
        }
        if let failure { throw refusal(failure, ofAllowing: ranges, ioas: id) }
    }

    /// From the books: the kernel does not tell.
    package func mappings(
        ioas id: ObjectID, from start: UInt64, limit: Int
    ) throws(IOMMUError) -> (mappings: [MappingDescription], next: UInt64?) {
        try ioas(id).areas.mappings(from: start, limit: limit)
    }

    /// `IOMMU_OPTION_HUGE_PAGES`
    package func setHugePages(ioas id: ObjectID, _ enabled: Bool) throws(IOMMUError) {
        let ioas = try ioas(id)
        let handle = try handle()
        do throws(KernelFailure) {
            _ = try handle.option(Self.hugePages, set: true, object: id, value: enabled ? 1 : 0)
        } catch {
            throw error.refusal { errno in
                if errno == .EADDRINUSE { return ioas.misalignment }
                guard errno == .EINVAL else { return nil }
                return IOMMUError(
                    .EINVAL, .alreadyMapped, "ioas \(id) has hardware tables with mappings in them already",
                    hint: "turn huge_pages off before mapping", ["ioas": .number(UInt64(id))])
            }
        }
        ioas.usesHugePages = enabled
    }

    /// What was set last; on at the beginning.
    package func hugePages(ioas id: ObjectID) throws(IOMMUError) -> Bool { try ioas(id).usesHugePages }
}
