import IOMMU
import IOMMUObjects

extension KernelContext {
    /// `IOMMU_IOAS_COPY`; the kernel takes parts of mappings, and so does the contract.
    package func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64 {
        try now(
            try copying(
                KernelHandle.Copy(
                    source: source, sourceIOVA: iova, length: length, destination: destination, iova: fixed,
                    access: access)))
    }

    /// ``copy(from:iova:length:to:iova:access:)``, on a worker above 16 pages.
    package func beginCopy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> Answer<UInt64> {
        let work = try copying(
            KernelHandle.Copy(
                source: source, sourceIOVA: iova, length: length, destination: destination, iova: fixed,
                access: access))
        return length > Self.shortLength ? later(work) : .now(try now(work))
    }

    private typealias CopyWork = Work<Result<UInt64, KernelFailure>, UInt64>

    private func copying(_ copy: KernelHandle.Copy) throws(IOMMUError) -> CopyWork {
        guard copy.length < .max, copy.sourceIOVA < .max, copy.iova != .max else {
            throw Self.wraps(copy.source, copy.sourceIOVA, copy.length)
        }
        guard !copy.access.isEmpty else { throw ObjectContext.noAccess(copy.destination) }
        let from = try ioas(copy.source)
        guard copy.length > 0 else {
            throw from.refusal(
                .EINVAL, .zeroLength, "the range at \(hexadecimal(copy.sourceIOVA)) has no bytes", copy.sourceIOVA,
                copy.length,
                hint: "give a length of at least one byte")
        }
        let (last, overflow) = copy.sourceIOVA.addingReportingOverflow(copy.length - 1)
        guard !overflow else { throw Self.wraps(copy.source, copy.sourceIOVA, copy.length) }
        guard let pieces = from.areas.pieces(start: copy.sourceIOVA, last: last) else {
            throw from.refusal(
                .ENOENT, .notMapped, "the source range at \(hexadecimal(copy.sourceIOVA)) has a hole", copy.sourceIOVA,
                copy.length,
                hint: "ioas.mappings lists what is mapped")
        }
        let to = try ioas(copy.destination)
        let handle = try handle()
        try store.chargeMappings(pieces.count, bytes: copy.length)
        return Work(
            work: { Result { () throws(KernelFailure) in try handle.copy(copy) } }
        ) { [self] result in
            switch result {
            case .success(let target):
                enter(pieces, at: target, in: to, access: copy.access)
                return .success(target)
            case .failure(let failure):
                store.releaseMappings(pieces.count, bytes: copy.length)
                return .failure(refusal(failure, of: copy, pieces, from: from, in: to))
            }
        }
    }

    private static func wraps(_ ioas: ObjectID, _ iova: UInt64, _ length: UInt64) -> IOMMUError {
        IOMMUError(
            .EOVERFLOW, .iovaOverflow, "the range at \(hexadecimal(iova)) of ioas \(ioas) wraps",
            hint: "keep iova + length within 64 bits",
            ["ioas": .number(UInt64(ioas)), "iova": .hex(iova), "length": .hex(length)])
    }

    func enter(_ pieces: [Area], at target: UInt64, in ioas: KernelIOAS, access: Access) {
        var next = target
        for piece in pieces {
            enter(
                Area(
                    start: next, last: next &+ (piece.length &- 1), offset: piece.offset, memory: piece.memory,
                    access: access, isSourceWritable: piece.isSourceWritable), in: ioas)
            next &+= piece.length
        }
    }
}
