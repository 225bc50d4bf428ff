import IOMMU
import IOMMUObjects

/// Pages of processes that IOASes map (`IOMMU_IOAS_MAP`), without being pinned.
extension EmulatedContext: MemoryLending {
    /// One process after the other is asked.
    package func check(_ requests: [MapRequest]) throws(IOMMUError) -> Deferred<Void> {
        var ranges: [LendingCheck.Range] = []
        for (index, request) in requests.enumerated() {
            guard let mm = request.mm, request.length > 0 else { continue }
            do throws(IOMMUError) {
                let space = try process(mm).space
                guard space.isLive else { throw .mmExited(mm: mm) }
                ranges.append(LendingCheck.Range(mm: mm, space: space, request: request))
            } catch {
                throw requests.count > 1 ? error.with("index", .number(UInt64(index))) : error
            }
        }
        let check = LendingCheck(ranges, ticket: backend.sva.makeTicket(of: account.uid), backend.sva.memory)
        lendingCheck = check
        check.goOn()
        return check.deferred
    }

    /// Whoever asked gets no answer any more.
    package func callOffCheck() {
        lendingCheck?.callOff()
        lendingCheck = nil
    }

    /// A window for whole pages.
    package func lend(mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) -> LentRange {
        let handle = try process(mm)
        let first = va & ~0xfff
        let bytes = (va &- first &+ length &+ 0xfff) & ~0xfff
        // Shapes that no mapping can have are refused by the map; what wraps has been refused.
        guard bytes > 0 else { return LentRange(mm: mm, location: 0) {} }
        let share = account.share(of: backend.machine.lentPool)
        try share.take(bytes)
        let sva = backend.sva
        let physical: UInt64
        do throws(IOMMUError) {
            physical = try sva.lent.take(for: handle.space, address: first, length: bytes)
        } catch {
            share.giveBack(bytes)
            throw error
        }
        handle.lent += 1
        return LentRange(mm: mm, location: physical &- first) { [space = handle.space] in
            handle.lent -= 1
            sva.lent.release(physical)
            share.giveBack(bytes)
            sva.releaseIfUnused(space)
        }
    }

    private func process(_ mm: ObjectID) throws(IOMMUError) -> AddressSpaceHandle {
        let handle = try sva.handle(mm)
        guard !handle.space.isSynthetic else {
            throw IOMMUError(
                .EINVAL, .mmSynthetic, "mm \(mm) was made up: no process has its pages",
                hint: "map the memory objects that it is made of", ["mm": .number(UInt64(mm))])
        }
        return handle
    }
}

/// The questions to processes whether they have what is to be mapped, one after the other.
final class LendingCheck {
    struct Range {
        let mm: ObjectID
        let space: AddressSpace
        let request: MapRequest
    }

    /// Settled once: when all have answered, when one has refused, or when nobody waits any more.
    let deferred = Deferred<Void>()
    private let ranges: [Range]
    private let memory: any ForeignMemory
    /// One of its own: nobody else waits for these processes.
    private let ticket: ForeignTicket
    private var next = 0
    private var isOver = false

    init(_ ranges: [Range], ticket: ForeignTicket, _ memory: any ForeignMemory) {
        (self.ranges, self.ticket, self.memory) = (ranges, ticket, memory)
    }

    func goOn() {
        guard next < ranges.count, let process = ranges[next].space.process else { return end(.success(())) }
        let range = ranges[next]
        let request = range.request
        memory.check(
            request.offset, length: request.length, request.access, in: process, for: ticket
        ) { [self] result in
            guard !isOver else { return }
            switch result {
            case .success:
                next += 1
                goOn()
            case .failure(let failure): end(.failure(refusal(failure, of: range)))
            }
        }
    }

    func callOff() {
        guard !isOver else { return }
        memory.forget(ticket)
        end(
            .failure(
                IOMMUError(
                    .ECANCELED, .disconnected, "the connection has ended that waited for the call",
                    hint: "ask again on another; nothing was mapped")))
    }

    private func end(_ result: Result<Void, IOMMUError>) {
        isOver = true
        deferred.settle(result)
    }

    private func refusal(_ failure: ForeignFailure, of range: Range) -> IOMMUError {
        let error = refusal(failure, mm: range.mm)
        return ranges.count > 1 ? error.with("index", .number(UInt64(next))) : error
    }

    private func refusal(_ failure: ForeignFailure, mm: ObjectID) -> IOMMUError {
        switch failure {
        case .refused(let error): error
        case .memory(.gone): .mmExited(mm: mm)
        case .memory(.unreachable(let address)):
            IOMMUError(
                .EFAULT, .vaNotMapped, "the process of mm \(mm) has nothing at \(hexadecimal(address))",
                hint: "give va and length of memory that it has mapped",
                ["mm": .number(UInt64(mm)), "va": .hex(address)])
        case .memory(.denied(let address)):
            IOMMUError(
                .EPERM, .vaNotPermitted,
                "the process of mm \(mm) may not do at \(hexadecimal(address)) what devices are to do there",
                hint: "ask for less in access, or change the protection of its pages",
                ["mm": .number(UInt64(mm)), "va": .hex(address)])
        }
    }
}
