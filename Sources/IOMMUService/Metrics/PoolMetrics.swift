import IOMMU

/// Who holds how much of what there is only so much of for everybody.
enum PoolMetrics {
    /// - Parameter shares: those of which something is held.
    static func read(_ shares: [PoolShare]) -> [Metric] {
        let used = shares.map { share in
            Metric(
                .gauge, "pool_used", "What one user holds of what is everybody's", share.used,
                labels: [.init(name: "pool", value: share.pool.name), .init(name: "uid", value: "\(share.uid)")])
        }
        var seen: Set<String> = []
        let capacity = shares.map(\.pool).filter { seen.insert($0.name).inserted }.map { pool in
            Metric(
                .gauge, "pool_capacity", "All that there is of it", pool.capacity,
                label: .init(name: "pool", value: pool.name))
        }
        return used + capacity
    }
}
