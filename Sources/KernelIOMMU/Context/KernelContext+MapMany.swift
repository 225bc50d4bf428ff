import IOMMU
import IOMMUObjects

/// All or none of many mappings: the kernel has one call for each, so what was made before one is refused is undone.
extension KernelContext {
    /// What the kernel came to: all IOVAs, or the first refusal, everything before it undone.
    private struct Outcome: Sendable {
        var iovas: [UInt64] = []
        var failure: KernelFailure?
    }

    /// One call of the kernel for each; at the first refusal those before it are unmapped again.
    package func map(ioas id: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64] {
        try now(try prepare(requests, ioas: id).work)
    }

    /// ``map(ioas:many:)``, on a worker above 16 mappings or pages.
    package func beginMap(ioas id: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> Answer<[UInt64]> {
        let prepared = try prepare(requests, ioas: id)
        return prepared.isShort ? .now(try now(prepared.work)) : later(prepared.work)
    }

    private typealias Prepared = (work: Work<Outcome, [UInt64]>, isShort: Bool)

    /// Checks all of them and takes room for them; nothing is mapped yet.
    private func prepare(_ requests: [MapRequest], ioas id: ObjectID) throws(IOMMUError) -> Prepared {
        var mappings: [KernelHandle.Mapping] = []
        mappings.reserveCapacity(requests.count)
        var bytes: UInt64 = 0
        for (index, request) in requests.enumerated() {
            do throws(IOMMUError) { try store.checkRequest(request, ioas: id) } catch {
                throw error.with("index", .number(UInt64(index)))
            }
        }
        let ioas = try ioas(id)
        for (index, request) in requests.enumerated() {
            do throws(IOMMUError) { mappings.append(try prepare(request, in: ioas)) } catch {
                throw error.with("index", .number(UInt64(index)))
            }
            let (sum, overflow) = bytes.addingReportingOverflow(request.length)
            bytes = overflow ? .max : sum
        }
        let handle = try handle()
        try store.chargeMappings(requests.count, bytes: bytes)
        let work = Work<Outcome, [UInt64]>(work: { [mappings] in Self.map(mappings, by: handle) }) { [self] outcome in
            finish(outcome, requests, bytes, in: ioas)
        }
        return (work, bytes <= Self.shortLength && requests.count <= 16)
    }

    private static func map(_ mappings: [KernelHandle.Mapping], by handle: KernelHandle) -> Outcome {
        var outcome = Outcome()
        outcome.iovas.reserveCapacity(mappings.count)
        do throws(KernelFailure) {
            for mapping in mappings { outcome.iovas.append(try handle.map(mapping)) }
        } catch {
            outcome.failure = error
            for (mapping, iova) in zip(mappings, outcome.iovas).reversed() {
                // It was mapped a moment ago, and nobody else has this iommufd.
                _ = try? handle.unmap(ioas: mapping.ioas, iova: iova, length: mapping.length)
            }
        }
        return outcome
    }

    private func finish(
        _ outcome: Outcome, _ requests: [MapRequest], _ bytes: UInt64, in ioas: KernelIOAS
    ) -> Result<[UInt64], IOMMUError> {
        guard let failure = outcome.failure else {
            for (request, iova) in zip(requests, outcome.iovas) { enter(request, at: iova, in: ioas) }
            return .success(outcome.iovas)
        }
        let index = outcome.iovas.count
        store.releaseMappings(requests.count, bytes: bytes)
        // What the others would have mapped is part of the explanation.
        let made = Array(zip(requests, outcome.iovas))
        let error = refusal(failure, of: requests[index], in: ioas, beside: made)
        return .failure(error.with("index", .number(UInt64(index))))
    }
}
