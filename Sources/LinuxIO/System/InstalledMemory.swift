import Glibc

/// How much memory there is for this process at all: the machine's, or less where a control group (v2) says so.
public enum InstalledMemory {
    /// Bytes, as they are when first asked for.
    public static let bytes: UInt64 = min(machine, group ?? .max)

    private static var machine: UInt64 {
        UInt64(max(sysconf(Int32(_SC_PHYS_PAGES)), 1)) * UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 1))
    }

    private static var group: UInt64? {
        text(of: "/proc/self/cgroup").flatMap { limit(membership: $0, root: "/sys/fs/cgroup") }
    }

    /// The smallest `memory.max` of a group and those that it lies in; nil where none has one.
    ///
    /// - Parameters:
    ///   - membership: what `/proc/PID/cgroup` says.
    ///   - root: where the hierarchy is mounted.
    package static func limit(membership: String, root: String) -> UInt64? {
        guard let line = membership.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else {
            return nil
        }
        var path = Substring(line.dropFirst(3))
        var least: UInt64?
        while true {
            let own = text(of: "\(root)\(path)/memory.max").flatMap { UInt64($0.prefix { $0 != "\n" }) }
            if let own { least = min(least ?? own, own) }
            guard path.count > 1, let slash = path.lastIndex(of: "/") else { return least }
            path = slash == path.startIndex ? "/" : path[..<slash]
        }
    }

    /// A small file of the kernel's; nil where there is none.
    private static func text(of path: String) -> String? {
        guard let file = try? Descriptor(opening: path, O_RDONLY) else { return nil }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(file.number, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }
}
