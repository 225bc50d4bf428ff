import IOMMU

/// What single users hold of their quotas.
enum UserMetrics {
    /// Users that are told apart; what the others hold together has the uid "others". There can be as many users as
    /// connections, but only so many lines that anybody reads.
    static let told = 50

    /// - Parameters:
    ///   - accounts: of all users who hold anything.
    ///   - limits: what a user may hold; what is not listed is unlimited.
    static func read(_ accounts: [Account], limits: [Account.Resource: UInt64]) -> [Metric] {
        let order = accounts.sorted { (weight($1), $0.uid) < (weight($0), $1.uid) }
        let others = order.dropFirst(told)
        var used: [Metric] = []
        for account in order.prefix(told) {
            for resource in Account.Resource.allCases where account.used(resource) > 0 {
                used.append(figure(resource, of: "\(account.uid)", account.used(resource)))
            }
        }
        for resource in Account.Resource.allCases {
            let sum = others.reduce(UInt64(0)) { $0 &+ $1.used(resource) }
            if sum > 0 { used.append(figure(resource, of: "others", sum)) }
        }
        let limits = Account.Resource.allCases.compactMap { resource in
            limits[resource].map { limit in
                Metric(
                    .gauge, "quota_limit", "What one user may hold", limit,
                    label: .init(name: "resource", value: resource.name))
            }
        }
        return used + limits
    }

    /// Who holds most comes first.
    private static func weight(_ account: Account) -> UInt64 {
        max(account.used(.mappedBytes), account.used(.memoryBytes))
    }

    private static func figure(_ resource: Account.Resource, of uid: String, _ value: UInt64) -> Metric {
        Metric(
            .gauge, "quota_used", "What one user holds, in all sessions", value,
            labels: [.init(name: "resource", value: resource.name), .init(name: "uid", value: uid)])
    }
}
