import IOMMU
import IOMMUObjects

extension SMMUModels: ContextCompanion {
    /// Gives a context models of its own.
    package static func equip(_ context: ObjectContext) {
        let models = SMMUModels(owner: context)
        context.add(models)
        context.bareSMMUs = models
    }

    /// How many models there are.
    package var objectCount: Int { vsmmus.count }

    /// Each model, with the memory objects that it holds, however many ranges of theirs.
    package func listing() -> ObjectListing {
        vsmmus.listing { id, vsmmu in
            ObjectDescription(
                kind: "vsmmu", id: id, users: 0,
                refersTo: vsmmu.memory.memories.map { ObjectDescription.Reference(kind: "memory", id: $0) },
                state: [.init("ranges", .number(UInt64(vsmmu.memory.count)))]
            )
        }
    }

    /// Models have no devices.
    package func release(device: Device) {}

    /// Ends every model; their memory is free then.
    package func close() {
        for (id, vsmmu) in vsmmus.all { remove(id, vsmmu) }
    }
}
