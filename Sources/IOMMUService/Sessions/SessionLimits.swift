import IOMMU

/// The quotas that sessions are made with.
package struct SessionLimits: Sendable {
    /// Named sessions of one user; unlimited unless set.
    package var sessions = Int.max
    /// What one user's sessions hold together; what is not listed is unlimited.
    package var perUser: [Account.Resource: UInt64] = [:]
    package var context = ContextLimits()
    /// What one user may hold of what is everybody's.
    package var shares = ShareRules()

    package init() {}

    func apply(to account: Account) {
        account.setFraction(shares.fraction(of: account.uid))
        for resource in Account.Resource.allCases { account.setLimit(perUser[resource] ?? .max, of: resource) }
    }
}
