import IOMMU
import LinuxIO

/// Mappings that are taken out of the tables of an IOAS, and then out of its map. It cannot fail: once begun, it is
/// done to the end.
final class UnmapWork<Value>: LongWork<Value> {
    private enum Phase {
        case clearing(TablePass)
        case ending(TableEnd)
        case forgetting
    }

    private let ioas: IOAS
    private let hwpts: ContiguousArray<PagingHWPT>
    private var mappings: MappingSet
    private let bytesBefore: UInt64
    private let value: (UInt64) -> Value
    private var phase: Phase

    /// - Parameter value: gets the bytes that were unmapped.
    init(
        _ context: ObjectContext, _ ioas: IOAS, start: UInt64, last: UInt64, value: @escaping (UInt64) -> Value
    ) {
        (self.ioas, self.value) = (ioas, value)
        mappings = .span(start, last: last)
        phase = .clearing(TablePass(.span(start, last: last)))
        hwpts = ioas.hwpts
        bytesBefore = ioas.mappedBytes
        super.init(context)
    }

    override func step(_ budget: inout TurnBudget) -> Result<Value, IOMMUError>? {
        while true {
            switch phase {
            case .clearing(let pass): guard clear(pass, &budget) else { return nil }
            case .ending(var end):
                let isOver = end.step(&budget, hwpts)
                phase = isOver ? .forgetting : .ending(end)
                guard isOver else { return nil }
            case .forgetting:
                guard context.forget(&mappings, of: ioas, &budget) else { return nil }
                let bytes = bytesBefore &- ioas.mappedBytes
                if ioas.areas.isEmpty { ioas.removeAllMappings() }
                return .success(value(bytes))
            }
        }
    }

    private func clear(_ before: TablePass, _ budget: inout TurnBudget) -> Bool {
        var pass = before
        let isOver = try? pass.step(&budget, in: ioas, context.memories, hwpts) {
            hwpt, iova, _, length, _ throws(IOMMUError) in
            hwpt.domain.unmap(iova: iova, length: length)
        }
        phase = isOver ?? true ? .ending(TableEnd()) : .clearing(pass)
        return isOver ?? true
    }
}
