import CLinux
import Glibc
import LinuxIO

/// A helper of a daemon that was killed: killed as well, but it cannot end before a page has come.
final class LeftoverHelper {
    let uid: UInt32
    private let end: Descriptor
    private var watch: DescriptorWatch?

    private init(uid: UInt32, end: consuming Descriptor) {
        self.uid = uid
        self.end = end
    }

    /// Tells it from others while it is there.
    var number: Int32 { end.number }

    /// - Returns: whether `ended` will be called when it has ended.
    func watch(by services: any LoopServices, ended: @escaping () -> Void) -> Bool {
        watch = try? services.watch(end) { [unowned self] in
            watch?.end()
            ended()
        }
        return watch != nil
    }

    /// All that there are of daemons that ran as this one's user.
    ///
    /// - Parameter instance: the daemon's; what others have left is their own affair.
    static func all(of instance: String, in directory: String = "/proc") -> [LeftoverHelper] {
        ((try? SmallFile.names(in: directory)) ?? []).compactMap { name in
            Int32(name).flatMap { LeftoverHelper($0, instance, directory) }
        }
    }

    private convenience init?(_ pid: Int32, _ instance: String, _ directory: String) {
        let path = "\(directory)/\(pid)"
        guard Self.user(path, instance) != nil, let end = try? Descriptor(opened: clinux_pidfd_open(pid), "pidfd_open"),
            // Now it is certain that the descriptor is of that process.
            let uid = Self.user(path, instance)
        else { return nil }
        self.init(uid: uid, end: end)
    }

    /// Whose address space it was about; nil if it is no such process.
    private static func user(_ path: String, _ instance: String) -> UInt32? {
        let name = ProcFile.read(path + "/comm")?.dropLast()
        guard let digits = name.map({ $0.dropFirst(MemoryHelper.namePrefix.count) }), digits.count == 8,
            name?.hasPrefix(MemoryHelper.namePrefix) == true, let uid = UInt32(digits, radix: 16),
            let status = ProcFile.read(path + "/status"), isKilled(status),
            ProcFile.values(of: "Uid", in: status)?.first == "\(getuid())",
            ProcFile.read(path + "/cmdline") == "iommud\0\(MemoryHelper.argument)\0\(instance)\0"
        else { return nil }
        return uid
    }

    /// SIGKILL is pending: it will do nothing more but end.
    private static func isKilled(_ status: String) -> Bool {
        ["SigPnd", "ShdPnd"].contains { field in
            let mask = ProcFile.values(of: field, in: status)?.first.flatMap { UInt64($0, radix: 16) } ?? 0
            return mask & 1 << (UInt64(SIGKILL) - 1) != 0
        }
    }
}
