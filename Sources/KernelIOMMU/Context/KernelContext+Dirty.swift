import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// Dirty tracking. The kernel stops at a hole and calls that success, so holes are looked for first.
extension KernelContext {
    private static let enable: UInt32 = 1

    private func trackedHWPT(_ id: ObjectID) throws(IOMMUError) -> KernelHWPT {
        let hwpt = try table.object(id, .hwpt, as: KernelHWPT.self)
        guard !hwpt.isNested else { throw ObjectTable.unknown(id, .hwpt) }
        guard hwpt.flags.contains(.dirtyTracking) else { throw Self.noDirtyTracking(id) }
        return hwpt
    }

    private static func noDirtyTracking(_ id: ObjectID) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .noDirtyTracking, "hwpt \(id) was not allocated for dirty tracking",
            hint: "allocate it with the flag dirty_tracking", ["hwpt": .number(UInt64(id))])
    }

    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`
    package func setDirtyTracking(hwpt id: ObjectID, enabled: Bool) throws(IOMMUError) {
        try now(try tracking(id, enabled))
    }

    /// ``setDirtyTracking(hwpt:enabled:)`` on a worker: the kernel goes through all of the table.
    package func beginSetDirtyTracking(hwpt id: ObjectID, enabled: Bool) throws(IOMMUError) -> Answer<Void> {
        later(try tracking(id, enabled))
    }

    private func tracking(
        _ id: ObjectID, _ enabled: Bool
    ) throws(IOMMUError) -> Work<Result<Void, KernelFailure>, Void> {
        let hwpt = try trackedHWPT(id)
        let handle = try handle()
        return Work(
            work: {
                Result { () throws(KernelFailure) in
                    var argument = clinux_iommu_hwpt_set_dirty_tracking()
                    (argument.hwpt_id, argument.flags) = (id, enabled ? Self.enable : 0)
                    try handle.perform(IOMMUFD.hwptSetDirtyTracking, &argument)
                }
            }
        ) { result in
            if case .failure(let failure) = result {
                return .failure(
                    failure.refusal { $0 == .EOPNOTSUPP ? Self.noDirtyTracking(id) : nil }
                        .with("hwpt", .number(UInt64(id))))
            }
            (hwpt.isTracking, hwpt.suspects) = (enabled, [])
            return .success(())
        }
    }

    /// What a question for dirty pages comes to.
    package typealias DirtyPages = (bitmap: [UInt8], dirty: UInt64)
    private typealias DirtyWork = Work<Result<[UInt64], KernelFailure>, DirtyPages>
    /// Pages that are looked at on the loop's own thread.
    private static let shortQuery: UInt64 = 1024

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`
    package func dirtyBitmap(hwpt id: ObjectID, _ request: DirtyRequest) throws(IOMMUError) -> DirtyPages {
        try now(try querying(id, request))
    }

    /// ``dirtyBitmap(hwpt:_:)``, on a worker where it goes through many pages.
    package func beginDirtyBitmap(
        hwpt id: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> Answer<DirtyPages> {
        let work = try querying(id, request)
        return request.length / 4096 > Self.shortQuery ? later(work) : .now(try now(work))
    }

    private func querying(_ id: ObjectID, _ request: DirtyRequest) throws(IOMMUError) -> DirtyWork {
        let hwpt = try trackedHWPT(id)
        let target = DirtyRequest.Target(
            hwpt: id, ioas: hwpt.ioas.id, alignment: try iovaRanges(ioas: hwpt.ioas.id).alignment,
            areas: hwpt.ioas.areas)
        let bytes = Int(try request.bitmapBytes(of: target, atMost: store.limits.transfer))
        let handle = try handle()
        return Work(
            work: { Result { () throws(KernelFailure) in try handle.dirtyWords(id, request, bytes: bytes) } }
        ) { [self] result in
            switch result {
            case .failure(let failure): return .failure(refusal(failure, of: request, hwpt))
            case .success(var words):
                if !hwpt.suspects.isEmpty { Self.add(&hwpt.suspects, to: &words, of: request) }
                let dirty = words.reduce(UInt64(0)) { $0 &+ UInt64($1.nonzeroBitCount) }
                return .success((words.withUnsafeBytes { Array($0.prefix(bytes)) }, dirty))
            }
        }
    }

    /// Pages of which nobody knows whether somebody was told count as dirty, once.
    private static func add(_ suspects: inout [AddressRange], to words: inout [UInt64], of request: DirtyRequest) {
        let last = request.iova + (request.length - 1)
        var rest: [AddressRange] = []
        for range in suspects {
            guard range.start <= last, range.last >= request.iova else {
                rest.append(range)
                continue
            }
            let (from, to) = (max(range.start, request.iova), min(range.last, last))
            for bit in (from - request.iova) / request.pageSize...(to - request.iova) / request.pageSize {
                words[Int(bit / 64)] |= 1 << (bit % 64)
            }
            if range.start < from, let before = AddressRange(start: range.start, last: from - 1) { rest.append(before) }
            if range.last > to, let after = AddressRange(start: to + 1, last: range.last) { rest.append(after) }
        }
        if request.clear { suspects = rest }
    }

    private func refusal(_ failure: KernelFailure, of request: DirtyRequest, _ hwpt: KernelHWPT) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EOPNOTSUPP: return Self.noDirtyTracking(hwpt.id)
            case .EOVERFLOW: return .wrapping(request.iova, length: request.length)
            default: return nil
            }
        }.with("hwpt", .number(UInt64(hwpt.id)))
    }
}

extension KernelHandle {
    private static let noClear: UInt32 = 1

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`: the kernel writes whole words.
    func dirtyWords(_ id: ObjectID, _ request: DirtyRequest, bytes: Int) throws(KernelFailure) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: (bytes + 7) / 8)
        var argument = clinux_iommu_hwpt_get_dirty_bitmap()
        (argument.hwpt_id, argument.flags) = (id, request.clear ? 0 : Self.noClear)
        (argument.iova, argument.length, argument.page_size) = (request.iova, request.length, request.pageSize)
        var failure: KernelFailure?
        words.withUnsafeMutableBytes { buffer in
            argument.data = UInt64(UInt(bitPattern: buffer.baseAddress))
            do throws(KernelFailure) { try perform(IOMMUFD.hwptGetDirtyBitmap, &argument) } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return words
    }
}
