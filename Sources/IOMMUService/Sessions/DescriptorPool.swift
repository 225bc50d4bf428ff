import Glibc
import IOMMU

/// The descriptors that the daemon may have open for its clients, all together.
enum DescriptorPool {
    /// What the daemon needs for itself.
    private static let own: UInt64 = 64

    /// As RLIMIT_NOFILE stands now; a tenth is the administrators'.
    static func make() -> Pool {
        var limit = rlimit()
        let known = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        let open = known ? UInt64(limit.rlim_cur) : 1024
        let capacity = max(open, 2 * own) - own
        return Pool(
            "descriptors", capacity: capacity, reserved: capacity / 10,
            exhausted: IOMMUError(
                .EDQUOT, .quotaExceeded,
                "all \(capacity - capacity / 10) descriptors are in use that are not kept for administrators",
                hint: "try again later, or ask the administrator to raise the daemon's LimitNOFILE",
                ["key": .text("limits.descriptors"), "limit": .number(capacity - capacity / 10)]))
    }
}
