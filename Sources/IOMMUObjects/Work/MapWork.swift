import IOMMU
import LinuxIO

/// What one step towards mappings in the map of an IOAS has come to.
enum MapStep {
    case entered(UInt64, last: UInt64)
    /// One that is to be entered has been looked at.
    case looked
    case end
}

/// Mappings that are entered in an IOAS, and in all of its hwpts: all of them or none.
///
/// Tables are made for all before the first page is mapped, so that no device uses a page of a change that fails.
final class MapWork<Value>: LongWork<Value> {
    private enum Phase {
        /// In the map of the IOAS, which nobody sees meanwhile.
        case entering
        case preparing(TablePass)
        case filling(TablePass)
        case withdrawing(TablePass, IOMMUError)
        case ending(TableEnd, IOMMUError)
        case forgetting(IOMMUError)
    }

    private let ioas: IOAS
    private let hwpts: ContiguousArray<PagingHWPT>
    private var mappings: MappingSet
    /// Refusals name the element.
    private let namesIndex: Bool
    /// Enters the next mapping in the map of the IOAS.
    private let enterNext: () throws(IOMMUError) -> MapStep
    private let value: (MappingSet) -> Value
    private var phase = Phase.entering

    init(
        _ context: ObjectContext, _ ioas: IOAS, into mappings: MappingSet, namesIndex: Bool = false,
        enterNext: @escaping () throws(IOMMUError) -> MapStep,
        value: @escaping (MappingSet) -> Value
    ) {
        (self.ioas, self.mappings, self.namesIndex) = (ioas, mappings, namesIndex)
        (self.enterNext, self.value) = (enterNext, value)
        hwpts = ioas.hwpts
        super.init(context)
    }

    override func step(_ budget: inout TurnBudget) -> Result<Value, IOMMUError>? {
        while true {
            switch phase {
            case .entering: guard enter(&budget) else { return nil }
            case .preparing(let pass): guard prepare(pass, &budget) else { return nil }
            case .filling(let pass):
                guard fill(pass, &budget) else { return nil }
                return .success(value(mappings))
            case .withdrawing(let pass, let error): guard withdraw(pass, error, &budget) else { return nil }
            case .ending(var end, let error):
                let isOver = end.step(&budget, hwpts)
                phase = isOver ? .forgetting(error) : .ending(end, error)
                guard isOver else { return nil }
            case .forgetting(let error):
                guard context.forget(&mappings, of: ioas, &budget) else { return nil }
                return .failure(error)
            }
        }
    }

    /// - Returns: whether the phase is over.
    private func enter(_ budget: inout TurnBudget) -> Bool {
        do {
            while !isCalledOff {
                switch try enterNext() {
                case .entered(let start, let last): mappings.insert(start, last: last)
                case .looked: break
                case .end:
                    phase = .preparing(TablePass(mappings))
                    return true
                }
                if budget.isSpent() { return false }
            }
            phase = .forgetting(Self.calledOff)
        } catch {
            phase = .forgetting(error)
        }
        return true
    }

    private func prepare(_ before: TablePass, _ budget: inout TurnBudget) -> Bool {
        var pass = before
        do {
            let isOver = try pass.step(&budget, in: ioas, context.memories, hwpts) {
                hwpt, iova, pa, length, _ throws(IOMMUError) in
                try hwpt.domain.prepare(run: iova, pa: pa, length: length, hugePages: ioas.usesHugePages)
            }
            guard isCalledOff else {
                phase = isOver ? .filling(TablePass(mappings)) : .preparing(pass)
                return isOver
            }
            undo(pass, Self.calledOff)
        } catch {
            var error = error.with("ioas", .number(UInt64(ioas.id)))
            if let area = pass.area { error = error.with("iova", .hex(area.start)) }
            undo(pass, namesIndex ? error.with("index", .number(UInt64(max(pass.count, 1) - 1))) : error)
        }
        return true
    }

    /// What the way has come to is taken back, up to and including the hwpt that it is at.
    private func undo(_ pass: TablePass, _ error: IOMMUError) {
        let end = pass.place.map { (start: $0.start, hwpt: $0.hwpt + 1) }
        phase = .withdrawing(TablePass(mappings, until: end), error)
    }

    private func fill(_ before: TablePass, _ budget: inout TurnBudget) -> Bool {
        var pass = before
        let hugePages = ioas.usesHugePages
        // Nothing that is prepared fails.
        let isOver = try? pass.step(&budget, in: ioas, context.memories, hwpts) {
            hwpt, iova, pa, length, area throws(IOMMUError) in
            hwpt.domain.fill(run: iova, pa: pa, length: length, access: area.access, hugePages: hugePages)
        }
        phase = .filling(pass)
        return isOver ?? true
    }

    private func withdraw(_ before: TablePass, _ error: IOMMUError, _ budget: inout TurnBudget) -> Bool {
        var pass = before
        let hugePages = ioas.usesHugePages
        let isOver = try? pass.step(&budget, in: ioas, context.memories, hwpts) {
            hwpt, iova, pa, length, _ throws(IOMMUError) in
            hwpt.domain.withdraw(run: iova, pa: pa, length: length, hugePages: hugePages)
        }
        phase = isOver ?? true ? .ending(TableEnd(), error) : .withdrawing(pass, error)
        return isOver ?? true
    }
}

extension ObjectContext {
    /// Takes mappings out of the map of an IOAS whose tables have none of them.
    ///
    /// - Returns: whether none is left.
    func forget(_ mappings: inout MappingSet, of ioas: IOAS, _ budget: inout TurnBudget) -> Bool {
        while let start = mappings.first(in: ioas.areas) {
            guard let area = ioas.areas.remove(start: start) else { return true }
            ioas.noteUnmapped(area)
            ioas.hint.freed(from: start)
            memories.unmapped(area.memory)
            releaseMappings(1, bytes: area.length)
            if budget.isSpent() { return false }
        }
        return true
    }
}

extension MappingSet {
    /// One that is left; those of ``starts(_:)`` are taken off.
    fileprivate mutating func first(in areas: AreaMap) -> UInt64? {
        switch self {
        case .starts(var starts):
            self = .starts([])
            defer { self = .starts(starts) }
            return starts.popLast()
        case .span(let start, let last):
            guard let last, let position = areas.first(endingAtOrAfter: start), position.start <= last else {
                return nil
            }
            return position.start
        }
    }
}
