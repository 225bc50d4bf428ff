import EmulatedIOMMU
import IOMMU

extension EmulatedBackend {
    /// A context whose number means nothing to the test.
    func makeContext(owner: String, account: Account, limits: ContextLimits) -> Context {
        makeContext(id: ContextID(.random(in: 1...(.max))), owner: owner, account: account, limits: limits)
    }
}
