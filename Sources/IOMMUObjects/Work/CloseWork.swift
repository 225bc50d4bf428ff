import IOMMU
import LinuxIO

/// The end of a context with much in it: users before what they use, as ``ObjectContext/close()``.
final class CloseWork: LongWork<Void> {
    /// In this order.
    private enum Phase: CaseIterable {
        case devices, vdevices, eventQueues, nested, viommus, paging, ioases, others

        func takes(_ object: SessionObject) -> Bool {
            switch self {
            case .devices: object is DeviceObject
            case .vdevices: object is VDevice
            case .eventQueues: object is VEventQueue
            case .nested: object is NestedHWPT
            case .viommus: object is VIOMMU
            case .paging: object is PagingHWPT
            case .ioases: object is IOAS
            case .others: true
            }
        }
    }

    private var phases = Phase.allCases[...]
    private var nextID: ObjectID = 1
    private var nextMemory: ObjectID = 1

    override func step(_ budget: inout TurnBudget) -> Result<Void, IOMMUError>? {
        guard context.closeCompanions(&budget) else { return nil }
        context.buriesLater = true
        defer { context.buriesLater = false }
        while let phase = phases.first {
            while nextID <= context.table.lastID {
                guard context.bury(&budget) else { return nil }
                if let object = context.table[nextID], phase.takes(object) {
                    guard end(object, &budget) else { return nil }
                }
                nextID += 1
                if budget.isSpent() { return nil }
            }
            phases.removeFirst()
            nextID = 1
        }
        while nextMemory <= context.memories.lastID {
            if let memory = context.memories[nextMemory] { context.release(memory, id: nextMemory) }
            nextMemory += 1
            if budget.isSpent(after: 4) { return nil }
        }
        context.forgetAll()
        return .success(())
    }

    /// - Returns: whether it is gone.
    private func end(_ object: SessionObject, _ budget: inout TurnBudget) -> Bool {
        if let device = object as? DeviceObject {
            context.unbind(device)
            return true
        }
        if let ioas = object as? IOAS {
            // No table follows it any more.
            var all = MappingSet.span(0, last: .max)
            guard context.forget(&all, of: ioas, &budget) else { return false }
        }
        context.release(object)
        return true
    }
}
