import IOMMU
import IOMMUObjects
import LinuxIO

extension KernelContext {
    /// `IOMMU_IOAS_UNMAP`, after a look into the books whether it would cut a mapping.
    package func unmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 {
        let extent = try extent(ioas: id, iova: iova, length: length)
        guard extent.count > 0 else { return 0 }
        return try unmapNow(extent, try unmapping(extent))
    }

    /// ``unmap(ioas:iova:length:)``, on a worker above 16 pages.
    package func beginUnmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64> {
        let extent = try extent(ioas: id, iova: iova, length: length)
        guard extent.count > 0 else { return .now(0) }
        let work = try unmapping(extent)
        guard extent.bytes > Self.shortLength else { return .now(try unmapNow(extent, work)) }
        return later(work).flatMap { [self] result in
            switch result {
            case .success(let bytes): return .now(bytes)
            case .failure(let error):
                guard extent.count > 1, let repair = try? repairing(extent, error) else {
                    return .later(.failed(error))
                }
                return later(repair)
            }
        }
    }

    private typealias UnmapWork = Work<Result<UInt64, KernelFailure>, UInt64>

    private func unmapNow(_ extent: Extent, _ work: UnmapWork) throws(IOMMUError) -> UInt64 {
        do throws(IOMMUError) {
            return try now(work)
        } catch {
            guard extent.count > 1 else { throw error }
            return try now(try repairing(extent, error))
        }
    }

    /// Whole mappings, as iommud knows them.
    struct Extent {
        let ioas: KernelIOAS
        let iova: UInt64
        let length: UInt64
        let count: Int
        let bytes: UInt64
    }

    /// The kernel would cut none, either, but would take those before the one it meets.
    func extent(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Extent {
        let ioas = try ioas(id)
        if iova == 0, length == .max {
            let all = ioas.areas.whole(start: 0, last: .max)
            return Extent(ioas: ioas, iova: 0, length: .max, count: all.count, bytes: all.bytes)
        }
        guard length > 0 || iova == .max else {
            throw ioas.refusal(
                .EINVAL, .zeroLength, "the range at \(hexadecimal(iova)) has no bytes", iova, length,
                hint: "iova 0 with length 0xffffffffffffffff unmaps everything")
        }
        let (last, overflow) = iova.addingReportingOverflow(length &- 1)
        guard !overflow, iova < .max, length < .max else {
            throw ioas.refusal(
                .EOVERFLOW, .iovaOverflow, "the range at \(hexadecimal(iova)) wraps", iova, length,
                hint: "keep iova + length within 64 bits")
        }
        let found = ioas.areas.whole(start: iova, last: last)
        if let cut = found.cut {
            throw ioas.refusal(
                .ENOENT, .wouldSplitMapping,
                "the range cuts the mapping of \(cut.length) bytes at \(hexadecimal(cut.start))", iova, length,
                hint: "unmap whole mappings"
            ).with("mapping_iova", .hex(cut.start)).with("mapping_length", .hex(cut.length))
        }
        guard found.count > 0 else {
            throw ioas.refusal(
                .ENOENT, .notMapped, "nothing is mapped at \(hexadecimal(iova))", iova, length,
                hint: "ioas.mappings lists what is mapped")
        }
        return Extent(ioas: ioas, iova: iova, length: length, count: found.count, bytes: found.bytes)
    }

    private func unmapping(_ extent: Extent) throws(IOMMUError) -> UnmapWork {
        let handle = try handle()
        let (id, iova, length) = (extent.ioas.id, extent.iova, extent.length)
        return Work(
            work: { Result { () throws(KernelFailure) in try handle.unmap(ioas: id, iova: iova, length: length) } }
        ) { [self] result in
            if case .failure(let failure) = result { return .failure(refusal(failure, of: extent)) }
            forget(extent)
            return .success(extent.bytes)
        }
    }

    private func refusal(_ failure: KernelFailure, of extent: Extent) -> IOMMUError {
        failure.refusal().with("ioas", .number(UInt64(extent.ioas.id))).with("iova", .hex(extent.iova))
            .with("length", .hex(extent.length))
    }

    // MARK: Halfway

    /// The kernel goes through the mappings one by one and stops at the first that it does not let go of: those before
    /// are made again, so that all of them are there as they were.
    private func repairing(_ extent: Extent, _ error: IOMMUError) throws(IOMMUError) -> Work<[UInt64], UInt64> {
        let handle = try handle()
        var mappings: [KernelHandle.Mapping] = []
        var next = extent.iova
        for _ in 0..<extent.count {
            guard let area = extent.ioas.areas.area(endingAtOrAfter: next) else { break }
            mappings.append(try mapping(of: area, in: extent.ioas))
            guard area.last < .max else { break }
            next = area.last + 1
        }
        return Work(work: { [mappings] in mappings.filter { !Self.makeAgain($0, by: handle) }.compactMap(\.iova) }) {
            [self] lost in
            for start in lost {
                if let area = extent.ioas.areas.area(endingAtOrAfter: start) { forget(area, in: extent.ioas) }
            }
            return .failure(lost.isEmpty ? error : error.with("unmapped", .number(UInt64(lost.count))))
        }
    }

    /// The mapping that the area stands for.
    private func mapping(of area: Area, in ioas: KernelIOAS) throws(IOMMUError) -> KernelHandle.Mapping {
        let memory = try store.memory(area.memory)
        return KernelHandle.Mapping(
            ioas: ioas.id, source: try source(memory, id: area.memory, offset: area.offset), length: area.length,
            access: area.access, iova: area.start)
    }

    /// - Returns: whether it is mapped.
    private static func makeAgain(_ mapping: KernelHandle.Mapping, by handle: KernelHandle) -> Bool {
        do throws(KernelFailure) {
            _ = try handle.map(mapping)
            return true
        } catch {
            return error.errno == Errno.EEXIST.rawValue
        }
    }

    // MARK: The books

    /// One mapping that is not there any more.
    func forget(_ area: Area, in ioas: KernelIOAS) {
        forget(Extent(ioas: ioas, iova: area.start, length: area.length, count: 1, bytes: area.length))
    }

    /// Mappings that are not there any more.
    func forget(_ extent: Extent) {
        let areas = extent.ioas.areas
        var next = extent.iova
        for _ in 0..<extent.count {
            guard let area = areas.area(endingAtOrAfter: next) else { break }
            next = area.last
            _ = areas.remove(start: area.start)
            store.memories[area.memory]?.mappings -= 1
        }
        store.releaseMappings(extent.count, bytes: extent.bytes)
    }

    /// Everything, in our books: the kernel has let go of it or is about to.
    func forgetMappings(of ioas: KernelIOAS) {
        let all = ioas.areas.whole(start: 0, last: .max)
        forget(Extent(ioas: ioas, iova: 0, length: .max, count: all.count, bytes: all.bytes))
    }
}
