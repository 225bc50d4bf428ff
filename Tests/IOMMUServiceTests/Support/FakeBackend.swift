import IOMMU
import IOMMUService

/// A second backend: no hardware, and no capability but what every backend has.
final class FakeBackend: IOMMUBackend {
    var eventHandler: ((BackendEvent) -> Void)?
    private(set) var contexts: [FakeContext] = []
    /// Of contexts made from now on.
    var makeSlowWork: (() -> SlowWork?)?

    var kind = "emulated"
    var features: [String] { [] }
    var topology: TopologyState { TopologyState(smmus: [], groups: [], devices: [], accelerators: []) }

    func makeContext(id: ContextID, owner: String, account: Account, limits: ContextLimits) -> FakeContext {
        let context = FakeContext(id: id, owner: owner)
        context.slowWork = makeSlowWork?()
        contexts.append(context)
        return context
    }
}
