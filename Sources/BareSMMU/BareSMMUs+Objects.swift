import IOMMU

/// The bare SMMUs of one context.
package final class VSMMUSession: ContextCompanion {
    private unowned let context: EmulatedContext
    var vsmmus = IDTable<VirtualSMMU>()

    init(context: EmulatedContext) { self.context = context }

    package var objectCount: Int { vsmmus.count }

    package func objects() -> [ObjectDescription] {
        vsmmus.all.map { id, vsmmu in
            let ranges = vsmmu.memory.ranges
            return ObjectDescription(
                kind: "vsmmu", id: id, users: 0,
                refersTo: ranges.map { ObjectDescription.Reference(kind: "memory", id: $0.memoryID) },
                state: [.init("ranges", .number(UInt64(ranges.count)))]
            )
        }
    }

    package func release(device: EmulatedDevice) {}

    package func close() {
        for (id, vsmmu) in vsmmus.all { remove(id, vsmmu) }
    }

    func remove(_ id: ObjectID, _ vsmmu: VirtualSMMU) {
        vsmmu.memory.removeAll()
        vsmmus.remove(id)
        context.releaseObject()
    }
}
