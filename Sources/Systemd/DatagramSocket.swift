import CSystemd
import Glibc
import LinuxIO
import Synchronization

/// A Unix datagram socket that never waits: a message for which the other side has no room is not sent.
struct DatagramSocket: ~Copyable {
    private let descriptor: Descriptor

    /// Not connected to anybody.
    init() throws(SystemError) {
        let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        descriptor = try Descriptor(opened: number < 0 ? -errno : number, "socket")
    }

    /// Sends one message.
    ///
    /// - Parameter address: a path, or `@` and an abstract name.
    /// - Throws: `EAGAIN` where the other side is behind, `EINVAL` for an address that is none, else what sendto(2)
    ///   says.
    func send(_ message: [UInt8], to address: String) throws(SystemError) {
        var name = Array(address.utf8)
        var target = sockaddr_un()
        target.sun_family = sa_family_t(AF_UNIX)
        let isAbstract = name.first == UInt8(ascii: "@")
        guard name.count > 1, isAbstract || name[0] == UInt8(ascii: "/"),
            name.count < MemoryLayout.size(ofValue: target.sun_path)
        else { throw SystemError(errno: EINVAL, "use the address “\(address)”") }
        if isAbstract { name[0] = 0 }
        withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: name) }
        // The name of an abstract socket is all its bytes; a path ends at its zero.
        let length = MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1)
        let sent = withUnsafePointer(to: target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                sendto(
                    descriptor.number, message, message.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL),
                    address, socklen_t(length))
            }
        }
        guard sent >= 0 else { throw .current("sendto") }
    }
}

/// Log entries for which whoever takes them had no room.
public enum LeftOutEntries {
    private static let counter = Atomic<UInt64>(0)

    /// How many, since the process started.
    public static var count: UInt64 { counter.load(ordering: .relaxed) }

    static func add() { counter.add(1, ordering: .relaxed) }
}
