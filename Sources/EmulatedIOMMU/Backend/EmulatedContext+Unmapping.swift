import IOMMU
import LinuxIO

extension EmulatedContext {
    /// `mm.unmap`: whatever lies in the range goes, as with munmap(2).
    ///
    /// - Throws: `EINVAL` for misalignment or a process's mm; `EDQUOT` where an area would be cut into two for which
    ///   there is no room.
    package func unmapMM(_ mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) {
        let unmapping = try unmapping(mm, va: va, length: length)
        while !unmapping.goOn() {}
    }

    /// As ``unmapMM(_:va:length:)``: many areas go in turns, during which devices meet each page before or after.
    package func beginUnmapMM(_ mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) -> Answer<Void> {
        let unmapping = try unmapping(mm, va: va, length: length)
        guard !unmapping.goOn() else { return .now(()) }
        let done = Deferred<Void>()
        backend.executor.inPieces(for: account.uid) { budget in
            repeat {
                guard !unmapping.goOn() else {
                    done.settle(.success(()))
                    return true
                }
            } while !budget.isSpent(after: Unmapping.units)
            return false
        }
        return .later(done)
    }

    private func unmapping(_ mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) -> Unmapping {
        let (space, synthetic) = try syntheticMM(mm)
        let range = try checkRange(va: va, length: length)
        if synthetic.isSplit(by: range) { try makeRoomForAnArea(in: synthetic, mm) }
        return Unmapping(space: space, memory: synthetic, rest: range)
    }
}

/// What of a range is still to be unmapped.
private final class Unmapping {
    private let space: AddressSpace
    private let memory: SyntheticMemory
    private var rest: AddressRange
    /// Areas that go together, and what they count for in a budget.
    private static let areas = 64
    static let units = 128

    init(space: AddressSpace, memory: SyntheticMemory, rest: AddressRange) {
        (self.space, self.memory, self.rest) = (space, memory, rest)
    }

    /// Unmaps the next areas. - Returns: whether those were the last.
    func goOn() -> Bool {
        let part = memory.part(of: rest, areas: Self.areas)
        space.zap(part)
        memory.remove(part)
        guard part.last < rest.last, let left = AddressRange(start: part.last + 1, last: rest.last) else { return true }
        rest = left
        return false
    }
}
