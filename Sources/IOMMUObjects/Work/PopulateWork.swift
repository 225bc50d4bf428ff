import IOMMU
import LinuxIO

/// A new hwpt that gets all mappings of its IOAS before anything can be attached to it.
final class PopulateWork: LongWork<ObjectID> {
    private enum Phase {
        case checking(from: UInt64?)
        case filling(TablePass)
    }

    private let hwpt: PagingHWPT
    private let alignment: UInt64
    private let finish: (PagingHWPT) throws(IOMMUError) -> ObjectID
    private var phase: Phase

    /// - Parameter finish: what is done with it once it is full and linked; if that throws, it has seen to the hwpt.
    init(
        _ context: ObjectContext, _ hwpt: PagingHWPT, finish: @escaping (PagingHWPT) throws(IOMMUError) -> ObjectID
    ) {
        self.hwpt = hwpt
        self.finish = finish
        alignment = hwpt.ioas.requiredAlignment(with: hwpt.domain)
        phase = .checking(from: hwpt.ioas.mayHaveMapping(notMultipleOf: alignment) ? 0 : nil)
        super.init(context)
    }

    override func step(_ budget: inout TurnBudget) -> Result<ObjectID, IOMMUError>? {
        do throws(IOMMUError) {
            guard !isCalledOff else { throw Self.calledOff }
            if case .checking(let from) = phase { guard try check(from: from, &budget) else { return nil } }
            if case .filling(let pass) = phase { guard try fill(pass, &budget) else { return nil } }
        } catch {
            context.discard(hwpt)
            return .failure(error)
        }
        context.enlist(hwpt)
        do throws(IOMMUError) {
            return .success(try finish(hwpt))
        } catch {
            return .failure(error)
        }
    }

    /// As ``IOAS/checkMappings(areMultiplesOf:)``, then the rest of what the hwpt has to be able to do.
    private func check(from: UInt64?, _ budget: inout TurnBudget) throws(IOMMUError) -> Bool {
        let ioas = hwpt.ioas
        var position = from.flatMap { ioas.areas.first(endingAtOrAfter: $0) }
        while let current = position {
            guard current.area.isMultiple(of: alignment) else { throw ioas.misaligned(current.area, alignment) }
            position = current.next
            if let next = position, budget.isSpent() {
                phase = .checking(from: next.start)
                return false
            }
        }
        try ioas.check(Reservation.outside(hwpt.domain.aperture, owner: hwpt))
        phase = .filling(TablePass(.span(0, last: .max)))
        return true
    }

    private func fill(_ before: TablePass, _ budget: inout TurnBudget) throws(IOMMUError) -> Bool {
        var pass = before
        let hugePages = hwpt.ioas.usesHugePages
        let isOver = try pass.step(&budget, in: hwpt.ioas, context.memories, [hwpt]) {
            hwpt, iova, pa, length, area throws(IOMMUError) in
            try hwpt.domain.prepare(run: iova, pa: pa, length: length, hugePages: hugePages)
            hwpt.domain.fill(run: iova, pa: pa, length: length, access: area.access, hugePages: hugePages)
        }
        phase = .filling(pass)
        return isOver
    }
}
