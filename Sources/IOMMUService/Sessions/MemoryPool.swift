import IOMMU
import LinuxIO

/// The bytes of memory objects that the daemon may hold for its clients, all together.
///
/// Two fifths of the memory that the machine and the daemon's control group (`MemoryMax=`) have; or twice what the
/// configuration gives to one user, where that is more. A quarter is for translation tables, and a 32nd of a user's for
/// messages: the sum, and a quarter of it for objects and the daemon itself, stay below `MemoryMax=`.
enum MemoryPool {
    /// As the limits stand at the start.
    static func make(_ limits: LimitsConfiguration) -> Pool {
        let capacity = max(InstalledMemory.bytes / 5 * 2, 2 * UInt64(clamping: min(limits.memoryBytes, .max / 2)))
        return Pool(
            "bytes of memory objects", capacity: capacity,
            exhausted: IOMMUError(
                .EDQUOT, .quotaExceeded,
                "the memory objects of all users together may hold \(capacity) bytes, which they do",
                hint: "try again later, or ask the administrator to give the daemon more memory",
                ["key": .text("limits.memory_bytes"), "limit": .number(capacity)]))
    }
}
