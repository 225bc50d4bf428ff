import IOMMU
import IOMMUObjects
import LinuxIO

extension KernelContext {
    package func unmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 {
        let extent = try extent(ioas: id, iova: iova, length: length)
        guard extent.count > 0 else { return 0 }
        return try now(try unmapping(extent))
    }

    package func beginUnmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64> {
        let extent = try extent(ioas: id, iova: iova, length: length)
        guard extent.count > 0 else { return .now(0) }
        let work = try unmapping(extent)
        return extent.bytes > Self.shortLength ? later(work) : .now(try now(work))
    }

    /// Whole mappings, as iommud knows them.
    private struct Extent {
        let ioas: KernelIOAS
        let iova: UInt64
        let length: UInt64
        let count: Int
        let bytes: UInt64
    }

    /// The kernel would cut none, either, but would take those before the one it meets.
    private func extent(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Extent {
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

    private func unmapping(_ extent: Extent) throws(IOMMUError) -> Work<Result<UInt64, KernelFailure>, UInt64> {
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

    private func forget(_ extent: Extent) {
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
