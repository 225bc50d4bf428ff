import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

extension ObjectContext {
    /// What the emulated machine adds to the context.
    var emulated: EmulatedContext {
        guard let emulated = deviceDMA as? EmulatedContext else {
            preconditionFailure("every context of the emulated backend has one")
        }
        return emulated
    }

    /// The physical address of a memory object's first byte.
    func base(ofMemory memory: ObjectID) throws -> UInt64 {
        _ = try self.memory(memory)
        return memories.location(of: memory)
    }
}

extension PagingHWPT {
    /// The SMMUv3 driver's part of it.
    var smmuDomain: PagingDomain {
        guard let domain = domain as? PagingDomain else { preconditionFailure("the driver makes no other") }
        return domain
    }
}
